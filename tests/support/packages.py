"""Builds the packages of this checkout, and installs them where nothing else is."""

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.checkout import ROOT

DISTRIBUTION = "engagement-export"
BUILD = ROOT / "tools" / "build_packages.py"


def build_packages(folder: Path) -> Path:
    """Build what a release consists of; the wheel, beside which the rest lies."""
    subprocess.run([sys.executable, BUILD, folder], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *, extras: tuple[str, ...] = ()) -> Path:
    """Install a wheel with what it declares and nothing else; the folder of its commands.

    What it needs is linked from where the tests run, so that nothing is fetched.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    python = folder / "bin" / "python"
    words = ["--python", python, "install", "--no-index", "--no-deps", wheel]
    subprocess.run([*pip, *words], check=True, capture_output=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (own,) = metadata.distributions(name=DISTRIBUTION, path=[str(packages)])
    for distribution in _needed(own, extras):
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin"


def _needed(own: metadata.Distribution, extras: tuple[str, ...]) -> list[metadata.Distribution]:
    """All that a distribution needs, with the needs of that."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(own, ("", *extras))]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        distribution, wanted = waiting.pop()
        for text in distribution.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(
                marker.evaluate({**default_environment(), "extra": extra}) for extra in wanted
            ):
                continue
            name = canonicalize_name(requirement.name)
            needs = (name, ("", *sorted(requirement.extras)))
            if needs in seen:
                continue
            seen.add(needs)
            there = own if name == DISTRIBUTION else metadata.distribution(name)
            if there is not own:
                found[name] = there
            waiting.append((there, needs[1]))
    return list(found.values())
