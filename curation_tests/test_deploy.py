"""The files for a cluster parse, agree with each other, and name what exists here."""

import importlib
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation_assets.engine.ray import QUIET, WATCHFUL, checked_address
from curation_assets.settings import OTHER_VARIABLES, PREFIX, Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.iterdir())


def loaded(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_bytes())


def code_location() -> Any:
    (location,) = loaded("dagster-values.yaml")["dagster-user-deployments"]["deployments"]
    return location


def pods() -> list[Any]:
    """Specifications of Ray's pods."""
    spec = loaded("raycluster.yaml")["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


@pytest.mark.parametrize("file", [*FILES, ROOT / "docs" / "cluster.md"], ids=lambda file: file.name)
def test_variables_are_settings(file: Path) -> None:
    known = {*(PREFIX + name.upper() for name in Settings.model_fields), *OTHER_VARIABLES}
    assert set(re.findall(r"CURATION_\w+", file.read_text())) <= known


def test_settings_have_values_that_are_allowed() -> None:
    env = {one["name"]: one.get("value") for one in code_location()["env"]}
    settings = {name.removeprefix(PREFIX).lower(): value for name, value in env.items() if name.startswith(PREFIX)}
    assert Settings(**settings).cluster == settings["cluster"]


def test_ray_is_the_version_that_is_tested() -> None:
    pinned = version("ray")
    assert loaded("raycluster.yaml")["spec"]["rayVersion"] == pinned
    assert re.findall(r"ray\[\w+\]==([\d.]+)", (DEPLOY / "Dockerfile").read_text()) == [pinned]


def test_ray_has_the_environment_of_a_driver() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    assert all(f"{name}={value}" in image for name, value in (QUIET | WATCHFUL).items())


def test_dagster_is_the_version_that_is_tested() -> None:
    libraries = re.findall(r"dagster-\w+==([\d.]+)", (DEPLOY / "Dockerfile").read_text())
    assert libraries == [version("dagster-aws")] * 2
    for file in (DEPLOY / "dagster-values.yaml", ROOT / "docs" / "cluster.md"):
        assert set(re.findall(r"--version ([\d.]+)", file.read_text())) == {version("dagster")}


def test_every_pod_has_the_image_and_the_lake() -> None:
    location = code_location()
    image = f"{location['image']['repository']}:{location['image']['tag']}"
    lake = next(one["value"] for one in location["env"] if one["name"] == "CURATION_LAKE")
    claim = loaded("lake.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for spec, container in [(location, location), *((pod, pod["containers"][0]) for pod in pods())]:
        (volume,) = spec["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": lake}]
        assert container is location or container["image"] == image
    assert image in (ROOT / "docs" / "cluster.md").read_text()


def test_runs_find_the_cluster_and_its_token() -> None:
    cluster = loaded("raycluster.yaml")
    name = cluster["metadata"]["name"]
    env = {one["name"]: one for one in code_location()["env"]}
    (head, *_) = pods()
    ports = {port["name"]: port["containerPort"] for port in head["containers"][0]["ports"]}
    assert env["CURATION_CLUSTER"]["value"] == f"ray://{name}-head-svc:{ports['client']}"
    assert checked_address(env["CURATION_CLUSTER"]["value"])
    assert env["RAY_AUTH_MODE"]["value"] == cluster["spec"]["authOptions"]["mode"]
    assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == name


def test_the_code_location_can_be_loaded() -> None:
    _, module = code_location()["dagsterApiGrpcArgs"]
    assert hasattr(importlib.import_module(module), "defs")


def test_dead_runs_are_repeated_as_on_one_machine() -> None:
    here = yaml.safe_load((ROOT / "dagster.yaml").read_bytes())
    there = loaded("dagster-values.yaml")
    assert there["dagsterDaemon"]["runRetries"]["maxRetries"] == here["run_retries"]["max_retries"]
    assert there["concurrency"]["pools"]["granularity"] == here["concurrency"]["pools"]["granularity"]
    assert there["telemetry"] == here["telemetry"] == {"enabled": False}
    assert there["pythonLogs"]["managedPythonLoggers"] == here["python_logs"]["managed_python_loggers"]
