"""Synth needs only the repository, writes the same bytes everywhere, and names what is missing."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import aws_cdk as cdk
import pytest

from infra import config, names
from infra.app import declare
from infra.constructs import python_function
from infra.paths import CONTAINER, LAMBDAS
from infra.stacks import endpoint
from tests.infra.synthesis import (
    ENVIRONMENTS,
    FULL,
    RELEASE,
    Assembly,
    copy_sources,
    normalised,
    record_for,
    synthesize,
    synthesize_written,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STACKS = ("registry", "endpoint", "gateway")
MONITORED = ("dev", "prod")  # the environments with a fourth stack
JUNK = (
    *(".DS_Store", "._server.py", "Thumbs.db", "desktop.ini", ".#server.py", "#server.py#", "server.py~"),
    *(".server.py.swp", "server.swp", "4913", "server.py.orig", "server.py.rej", "server.bak", "server.pyc"),
    *(".idea/x.py", ".vscode/x.json", ".ipynb_checkpoints/server-checkpoint.py", "__pycache__/x.pyc"),
)
_ID_HASH = re.compile(r"[0-9A-F]{8}")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_without_a_release_there_is_the_registry_alone(
    environment: str, unreleased: Mapping[str, Assembly], assemblies: Mapping[str, Assembly]
) -> None:
    (template,) = unreleased[environment].templates()
    assert template.content == assemblies[environment].template("registry").content


def test_no_stack_imports_from_another(assembly: Assembly, full: Assembly) -> None:
    for template in (*assembly.templates(), *full.templates()):
        assert "Fn::ImportValue" not in template.path.read_text()
        assert all("Export" not in output for output in template.content["Outputs"].values())


def test_stacks_are_deployed_in_the_order_of_their_dependencies(assembly: Assembly) -> None:
    manifest = assembly.json("manifest.json")["artifacts"]
    order = [*STACKS, *(["monitoring"] if assembly.environment in MONITORED else [])]
    for before, stack in itertools.pairwise(order):
        dependencies = manifest[f"tumor-detector-{assembly.environment}-{stack}"]["dependencies"]
        assert f"tumor-detector-{assembly.environment}-{before}" in dependencies


def test_prod_is_protected_from_deletion_and_dev_is_not(dev: Assembly, prod: Assembly) -> None:
    assert {protected for _, protected in placed(dev).values()} == {False}
    assert {protected for _, protected in placed(prod).values()} == {True}


def test_a_local_environment_is_bound_to_the_emulators_account(local: Assembly, dev: Assembly) -> None:
    for assembly, account in ((local, "000000000000"), (dev, "unknown-account")):
        region = config.load(assembly.environment).region
        assert {place for place, _ in placed(assembly).values()} == {f"aws://{account}/{region}"}


def test_another_bootstraps_qualifier_is_in_every_stack(tmp_path: Path) -> None:
    assembly = synthesize_written(f'bootstrap_qualifier = "acme1"\n{FULL}', tmp_path)
    templates = assembly.templates()
    assert len(templates) == len(STACKS) + 2
    for template in templates:
        assert template.content["Parameters"]["BootstrapVersion"]["Default"] == "/cdk-bootstrap/acme1/version"
    for path in (*tmp_path.rglob("*.json"), tmp_path / "out" / "manifest.json"):
        assert "hnb659fds" not in path.read_text()


def test_another_base_image_is_a_build_argument(tmp_path: Path) -> None:
    app = cdk.App(context={"base_image": "debian-python:11"}, outdir=str(tmp_path / "out"))
    declare(app, environment="dev", record=record_for("dev", tmp_path))
    app.synth()
    (image,) = Assembly("dev", tmp_path / "out").assets("endpoint")["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"] == {"BASE_IMAGE": "debian-python:11"}


def test_the_same_settings_under_another_name_give_the_same_stacks(
    assembly: Assembly, tmp_path: Path
) -> None:
    # Given the settings and the release of an environment for another one, "twin"
    ours = config.ENVIRONMENTS / f"{assembly.environment}.toml"
    shutil.copy(ours, tmp_path / "twin.toml")
    # When it is synthesized
    record = record_for("twin", tmp_path)
    twin = synthesize("twin", tmp_path / "out", release=record, environments=tmp_path)
    # Then templates, accounts, regions and protections are the same: no code depends on a name
    before, after = (renamed(each).splitlines() for each in (assembly, twin))
    assert list(difflib.unified_diff(before, after, lineterm="", n=0)) == []
    assert placed(assembly) == placed(twin)


def renamed(assembly: Assembly) -> str:
    """Return the templates with NAME for the environment, which always follows the project's name.

    The CDK makes some logical ids of such names without their hyphens, and adds hashes of them.
    """
    written = re.sub(rf"({names.PROJECT}[-/ ]){assembly.environment}\b", r"\1NAME", normalised(assembly))
    run_together = names.PROJECT.replace("-", "") + assembly.environment
    ids = re.compile(rf"{run_together}\w*")
    return ids.sub(lambda found: _ID_HASH.sub("HASH", found[0].replace(run_together, "NAME")), written)


def placed(assembly: Assembly) -> dict[str, tuple[str, bool]]:
    """Return each stack's account and region, and its protection, by the last part of its name."""
    artifacts = assembly.json("manifest.json")["artifacts"]
    prefix = names.stack_prefix(assembly.environment)
    return {
        name.removeprefix(prefix): (
            each["environment"],
            each["properties"].get("terminationProtection", False),
        )
        for name, each in artifacts.items()
        if each["type"] == "aws:cloudformation:stack"
    }


def test_what_editors_and_systems_leave_behind_is_in_no_asset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given copies of all that assets are made of
    copy = tmp_path / "copy"
    monkeypatch.setattr(endpoint, "CONTAINER", shutil.copytree(CONTAINER, copy / "container"))
    monkeypatch.setattr(python_function, "LAMBDAS", shutil.copytree(LAMBDAS, copy / "lambdas"))
    before = synthesize("prod", tmp_path / "before", release=RELEASE)
    assert len([*before.folder.glob("asset.*")]) == len(("image", "gateway", "canary"))
    # When junk is left in each of their folders
    for folder in filter(Path.is_dir, [*copy.rglob("*")]):
        for junk in JUNK:
            (folder / junk).parent.mkdir(exist_ok=True)
            (folder / junk).write_text("junk")
    # Then the assets, and so all that is deployed, are the same
    after = synthesize("prod", tmp_path / "after", release=RELEASE)
    assert after.deployed_bytes() == before.deployed_bytes()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what synth reads of the repository, without releases, and add a docker that fails."""
    clone: Path = tmp_path_factory.mktemp("clone")
    copy_sources(clone)
    docker = clone / "tools" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    return clone


def cdk_synth(clone: Path, output: Path, **context: str) -> subprocess.CompletedProcess[str]:
    """Run `cdk synth` as documented, with an empty environment."""
    path = os.pathsep.join([str(clone / "tools"), str(clone / ".venv" / "bin"), os.defpath])
    command = ["npx", "cdk", "synth", "--quiet", "--strict", "--no-notices", "--output", str(output)]
    command += [flag for key, value in context.items() for flag in ("-c", f"{key}={value}")]
    return subprocess.run(command, cwd=clone, env={"PATH": path}, capture_output=True, text=True, check=False)


def test_the_cli_needs_no_credentials_no_docker_and_no_release(
    clone: Path, tmp_path: Path, unreleased: Mapping[str, Assembly]
) -> None:
    done = cdk_synth(clone, tmp_path, env="prod")
    assert done.returncode == 0, done.stderr
    assert Assembly("prod", tmp_path).deployed_bytes() == unreleased["prod"].deployed_bytes()
    (line,) = [line for line in done.stderr.splitlines() if "scripts/" in line]
    assert "run `scripts/train`, then `scripts/promote --env prod`" in line


def test_the_cli_writes_the_same_and_nothing_into_the_repository(
    clone: Path, tmp_path: Path, prod: Assembly
) -> None:
    before = files(clone)
    done = cdk_synth(clone, tmp_path, env="prod", release=str(RELEASE))
    assert done.returncode == 0, done.stderr
    assert Assembly("prod", tmp_path).deployed_bytes() == prod.deployed_bytes()
    assert files(clone) == before


def files(folder: Path) -> set[Path]:
    """Return every file but what Python caches, without following links into the installed environment."""
    return {
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if "__pycache__" not in Path(root).parts
    }


def test_the_longest_names_fit_the_limits_of_aws() -> None:
    longest = "preproduction"
    assert re.fullmatch(names.ENVIRONMENT_NAME, longest)
    assert not re.fullmatch(names.ENVIRONMENT_NAME, longest + "x")
    for holds in get_args(names.Holds):
        bucket = names.bucket(longest, holds, account="123456789012", region="ap-southeast-2")
        assert len(bucket) <= 63
        assert re.fullmatch(r"[a-z0-9](-*[a-z0-9])*", bucket)
    assert len(names.endpoint(longest, mode="serverless")) <= 63
    assert len(names.role(longest, "image-publishing", region="ap-southeast-2")) <= 64
    assert len(names.role(longest, "pruning", region="ap-southeast-2")) <= 64
