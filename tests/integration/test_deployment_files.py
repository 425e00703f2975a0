"""Tests that the files in deploy/ are what their tools take, and say what the service knows."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import typer.main
import yaml

from engagement.cli.entry import app
from engagement.settings import Settings
from support.checkout import ROOT

DEPLOY = ROOT / "deploy"
PROGRAMS = Path(sys.executable).parent
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = [
    path
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    if path.name not in {"kustomization.yaml", "prometheus-adapter.yaml"}  # not resources
]
KUBERNETES_VERSIONS = ("1.31", "1.37")
INSTALLED = "/opt/engagement/bin/engagement"
METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text()


def resources() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


def containers() -> Iterator[dict[str, Any]]:
    for resource in resources():
        if resource["kind"] == "Deployment":
            yield from resource["spec"]["template"]["spec"]["containers"]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def commands() -> dict[str, list[str]]:
    """The words after `engagement` of everything that is started, by where they stand."""
    image = (DEPLOY / "Dockerfile").read_text()
    [default] = re.findall(r"^CMD (\[.*\])$", image, re.MULTILINE)
    found = {"Dockerfile": json.loads(default)}
    for name in ("serve", "worker"):
        found[f"compose {name}"] = compose()["services"][name]["command"]
    for container in containers():
        found[f"kubernetes {container['name']}"] = container["args"]
    for unit in UNITS:
        [line] = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        program, *words = shlex.split(line)
        assert program == INSTALLED
        found[unit.name] = words
    return found


@pytest.mark.parametrize("where", commands())
def test_what_is_started_is_a_command_with_its_options(where: str) -> None:
    name, *options = commands()[where]
    command = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]

    context = command.make_context(name, options)

    assert context.info_name in {"serve", "worker"}


def test_every_variable_is_a_setting() -> None:
    settings = {field.validation_alias for field in Settings.model_fields.values()}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for path in files for name in re.findall(r"ENGAGEMENT_[A-Z_]+", path.read_text())}

    assert named - settings == set()
    assert len(named) >= 4


def test_a_process_of_a_cluster_gets_what_it_needs() -> None:
    needed = {"ENGAGEMENT_STATE_URL", "ENGAGEMENT_LAKE_URL", "ENGAGEMENT_VAULT_KEY_FILE"}
    shared = {
        name
        for resource in resources()
        if resource["kind"] == "ConfigMap"
        for name in resource["data"]
    }
    for container in containers():
        own = {each["name"] for each in container["env"]}
        assert needed <= own | shared
    for name in ("serve", "worker"):
        assert needed <= compose()["services"][name]["environment"].keys()


def test_the_image_passes_its_linter() -> None:
    done = subprocess.run(
        [PROGRAMS / "hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_is_one_and_a_misspelt_key_is_found() -> None:
    given = compose()
    compose_spec.PyCompose.from_json(json.dumps(given)).validate()
    given["services"]["serve"]["volums"] = []

    with pytest.raises(ValueError, match="volums"):
        compose_spec.PyCompose.from_json(json.dumps(given))


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_the_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    found = list(resources())
    for resource in found:
        kubernetes_validate.validate(resource, version, strict=True)
    assert {"Deployment", "HorizontalPodAutoscaler", "Service"} <= {each["kind"] for each in found}
    scaler = next(each for each in found if each["kind"] == "HorizontalPodAutoscaler")
    del scaler["spec"]["maxReplicas"]

    with pytest.raises(kubernetes_validate.ValidationError, match="maxReplicas"):
        kubernetes_validate.validate(scaler, version, strict=True)


def test_kustomize_is_told_of_every_manifest() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())

    assert sorted(listed["resources"]) == [path.name for path in MANIFESTS]


def test_workers_are_scaled_by_metrics_that_there_are() -> None:
    rules = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())
    made = {}
    for rule in rules["rules"]["external"]:
        [series] = {*re.findall(r"engagement_\w+", rule["metricsQuery"])}
        assert rule["seriesQuery"].startswith(series)
        assert f"`{series}`" in METRICS
        made[rule["name"]["as"]] = series
    wanted = {
        metric["external"]["metric"]["name"]
        for resource in resources()
        if resource["kind"] == "HorizontalPodAutoscaler"
        for metric in resource["spec"]["metrics"]
        if metric["type"] == "External"
    }

    assert wanted == made.keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@.", "@1.")
    text = unit.read_text().replace(INSTALLED, str(PROGRAMS / "engagement"))

    assert _complaints(copy, text) == ""
    assert "ExecStrat" in _complaints(copy, text.replace("Start=/", "Strat=/"))


def _complaints(path: Path, text: str) -> str:
    path.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
    )
    return "\n".join(line for line in done.stderr.splitlines() if path.name in line)
