"""Builds what a release consists of: `make packages`.

The source package, the wheel that is built from it, and a list of all that the service is made of
(SBOM, CycloneDX) from the pinned requirements. Nothing is fetched, and the checkout stays as it is.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("src", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
SBOM = "engagement-export.cdx.json"


def build_packages(out: Path) -> None:
    """Build them into a folder, which is made if there is none."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "checkout"
        _copy_sources(checkout)
        _build(checkout, "build_sdist", out)
        (sdist,) = (checkout / "dist").iterdir()
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        _build(Path(folder) / sdist.name.removesuffix(".tar.gz"), "build_wheel", out)
    _list_parts(out / SBOM)


def _copy_sources(checkout: Path) -> None:
    checkout.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=skipped)
        else:
            shutil.copy(ROOT / name, checkout / name)


def _build(checkout: Path, hook: str, out: Path) -> None:
    (checkout / "dist").mkdir()
    words = f"from setuptools import build_meta; print(build_meta.{hook}('dist'))"
    subprocess.run([sys.executable, "-c", words], cwd=checkout, check=True, capture_output=True)
    (built,) = (checkout / "dist").iterdir()
    shutil.copy(built, out)


def _list_parts(file: Path) -> None:
    words = ["--output-reproducible", "--of", "JSON", "--output-file", file]
    described = ["--pyproject", ROOT / "pyproject.toml", ROOT / "requirements" / "run.txt"]
    # It wants to know what the root depends on, which requirements do not say.
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements"]
    subprocess.run([*command, *words, *described], check=True)


if __name__ == "__main__":
    build_packages(Path(sys.argv[1]))
