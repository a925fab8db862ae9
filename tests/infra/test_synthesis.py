"""Synth needs nothing but the tree, gives the same bytes everywhere, and says clearly what is missing."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import app, config
from infra import release as releases
from tests.infra.synthesis import (
    ENVIRONMENTS,
    FIXTURE_ENVIRONMENTS,
    RELEASES,
    ROOT,
    Assembly,
    record_for,
    synthesize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STACKS = ("registry", "endpoint", "gateway")
SIGHTED = ("dev", "prod")  # the environments with a fourth


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_two_synths_are_byte_identical(
    environment: str, assemblies: Mapping[str, Assembly], tmp_path: Path
) -> None:
    again = synthesize(environment, tmp_path, release=RELEASES / f"{environment}.json")
    assert again.deployed_bytes() == assemblies[environment].deployed_bytes()


def test_two_synths_of_every_optional_part_are_byte_identical(full: Assembly, tmp_path: Path) -> None:
    again = synthesize(
        "full",
        tmp_path / "out",
        release=record_for("full", tmp_path),
        environments=FIXTURE_ENVIRONMENTS,
    )
    assert again.deployed_bytes() == full.deployed_bytes()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_without_a_release_there_is_the_registry_alone(
    environment: str, unreleased: Mapping[str, Assembly], assemblies: Mapping[str, Assembly]
) -> None:
    (template,) = unreleased[environment].templates()
    assert template.content == assemblies[environment].template("registry").content


def test_without_a_release_one_line_says_what_to_run_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(releases, "RELEASES", tmp_path)
    app.build_app(environment="dev", outdir=str(tmp_path / "out"))
    (line,) = capfd.readouterr().err.splitlines()
    assert "scripts/train" in line
    assert "scripts/promote --env dev" in line


def test_no_stack_imports_from_another(assembly: Assembly) -> None:
    for template in assembly.templates():
        assert "Fn::ImportValue" not in template.path.read_text()
        assert all("Export" not in output for output in template.content["Outputs"].values())


def test_stacks_are_deployed_in_the_order_of_their_needs(assembly: Assembly) -> None:
    manifest = assembly.json("manifest.json")["artifacts"]
    order = [*STACKS, *(["sight"] if assembly.environment in SIGHTED else [])]
    for before, stack in itertools.pairwise(order):
        dependencies = manifest[f"tumor-detector-{assembly.environment}-{stack}"]["dependencies"]
        assert f"tumor-detector-{assembly.environment}-{before}" in dependencies


def test_prod_is_protected_from_deletion_and_dev_is_not(dev: Assembly, prod: Assembly) -> None:
    for assembly, protected in ((dev, False), (prod, True)):
        manifest = assembly.json("manifest.json")["artifacts"]
        for stack in (*STACKS, "sight"):
            properties = manifest[f"tumor-detector-{assembly.environment}-{stack}"]["properties"]
            assert properties.get("terminationProtection", False) is protected


def test_outputs_name_what_scripts_and_people_look_for(assembly: Assembly) -> None:
    outputs = {
        template.path.name.split(".")[0].rsplit("-", 1)[-1]: set(template.content["Outputs"])
        for template in assembly.templates()
    }
    ways_in = {"local": set[str](), "dev": {"ApiKeyId"}, "prod": {"PredictArn"}}
    expected = {
        "registry": {"RepositoryName", "RepositoryUri", "BucketName"},
        "endpoint": {"EndpointName", "EndpointConfigName", "ModelName", "ImageUri"},
        "gateway": {"Url", "ApiId", "StageName"} | ways_in[assembly.environment],
    }
    if assembly.environment in SIGHTED:
        expected["sight"] = {"DashboardName", "TopicArn"}
    assert outputs == expected


def test_another_base_image_is_a_build_argument(tmp_path: Path) -> None:
    built = app.build_app(
        environment="dev",
        release=RELEASES / "dev.json",
        context={"base_image": "debian-python:11"},
        outdir=str(tmp_path),
    )
    built.synth()
    (image,) = Assembly("dev", tmp_path).assets("endpoint")["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"] == {"BASE_IMAGE": "debian-python:11"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What synth reads of the tree, without releases, the installed environment, and a docker that fails."""
    clone: Path = tmp_path_factory.mktemp("clone")
    ignored = shutil.ignore_patterns("__pycache__", "releases")
    for folder in ("infra", "container"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=ignored)
    shutil.copy(ROOT / "cdk.json", clone)
    for installed in (".venv", "node_modules"):
        (clone / installed).symlink_to(ROOT / installed)
    docker = clone / "tools" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\ntouch {clone}/docker-was-called\nexit 1\n")
    docker.chmod(0o755)
    return clone


def cdk_synth(clone: Path, output: Path, **context: str) -> subprocess.CompletedProcess[str]:
    """Run what the README says, with an empty environment."""
    path = os.pathsep.join([str(clone / "tools"), str(clone / ".venv" / "bin"), os.defpath])
    command = ["npx", "cdk", "synth", "--quiet", "--strict", "--no-notices", "--output", str(output)]
    command += [flag for key, value in context.items() for flag in ("-c", f"{key}={value}")]
    return subprocess.run(command, cwd=clone, env={"PATH": path}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_cli_needs_no_credentials_no_docker_and_no_release(
    clone: Path, tmp_path: Path, unreleased: Mapping[str, Assembly], environment: str
) -> None:
    done = cdk_synth(clone, tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert Assembly(environment, tmp_path).deployed_bytes() == unreleased[environment].deployed_bytes()
    assert f"scripts/promote --env {environment}" in done.stderr


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_cli_writes_what_pytest_reads_and_nothing_into_the_tree(
    clone: Path, tmp_path: Path, assemblies: Mapping[str, Assembly], environment: str
) -> None:
    before = files(clone)
    done = cdk_synth(clone, tmp_path, env=environment, release=str(RELEASES / f"{environment}.json"))
    assert done.returncode == 0, done.stderr
    assert Assembly(environment, tmp_path).deployed_bytes() == assemblies[environment].deployed_bytes()
    assert files(clone) == before


def files(folder: Path) -> set[Path]:
    """Return every file but what Python caches, without following links into the installed environment."""
    return {
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if "__pycache__" not in Path(root).parts
    }


def test_a_mistake_is_a_report_and_not_a_stack_trace(clone: Path, tmp_path: Path) -> None:
    done = cdk_synth(clone, tmp_path, env="dev", release=str(RELEASES / "local.json"))
    assert done.returncode != 0
    assert "local.json cannot be used:\n  - environment = 'local'" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_environment_has_a_fixture_release() -> None:
    assert set(config.known_environments()) == set(ENVIRONMENTS)
    for environment in ENVIRONMENTS:
        assert json.loads((RELEASES / f"{environment}.json").read_text())["environment"] == environment


def test_none_stands_for_the_registry_stack_alone_whatever_record_there_is(tmp_path: Path) -> None:
    assembly = synthesize("dev", tmp_path, release=Path(releases.NO_RELEASE))
    assert assembly.templates() == [assembly.template("registry")]
