"""One release after another on one laptop: update under load, roll back, refuse a broken model, tear down.

The tests of this file build on each other, in this order, as the days of an environment do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import names
from tests.e2e.callers import ConstantLoad, served
from tests.e2e.releases import repackage, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Laptop


def serving(laptop: Laptop) -> str:
    return served(laptop.url)


def released(laptop: Laptop) -> str:
    record = json.loads((laptop.root / "infra/releases/local.json").read_text())
    sha256: str = record["model"]["sha256"]
    return sha256


@pytest.fixture(scope="module")
def first(laptop: Laptop) -> str:
    """The hash of the model that the demo promoted."""
    return released(laptop)


@pytest.fixture(scope="module")
def second(laptop: Laptop, first: str) -> str:
    """The hash of another model: trained from another seed and promoted, not yet deployed."""
    laptop.run("scripts/train", "--quick", "--seed", "2", "--architecture", "plain_cnn")
    laptop.run("scripts/promote", "--env", "local", "--model", "tumor-detector-phantom", "--version", "2")
    assert released(laptop) != first
    return released(laptop)


def test_a_promotion_alone_changes_nothing_that_serves(laptop: Laptop, first: str, second: str) -> None:
    assert serving(laptop) == first
    smoke = laptop.run("scripts/smoke", "--env", "local", check=False)
    assert smoke.returncode != 0
    assert "another model answered" in smoke.stderr
    assert "health's model" in smoke.stderr.splitlines()[-1]


def test_an_update_under_load_fails_no_request(laptop: Laptop, first: str, second: str) -> None:
    with ConstantLoad(laptop.url) as load:
        laptop.run("scripts/deploy", "--env", "local")
    assert load.failures == []
    assert load.served[0] == first
    assert load.served[-1] == second
    assert serving(laptop) == second


def test_deploying_the_same_release_again_changes_nothing(laptop: Laptop, second: str) -> None:
    done = laptop.run("scripts/deploy", "--env", "local")
    assert "no changes" in done.stderr
    assert serving(laptop) == second


def test_a_broken_model_leaves_the_old_one_serving_and_says_why(
    laptop: Laptop, second: str, tmp_path: Path
) -> None:
    # Given a release whose artifact is whole by its hash, but whose network is no network
    record = tmp_path / "broken.json"
    broken = _break(laptop, sha256=second, record=record)
    # When it is deployed under load
    with ConstantLoad(laptop.url) as load:
        done = laptop.run("scripts/deploy", "--env", "local", "--release", str(record), check=False)
    # Then the command fails with the reason, and not one request noticed
    assert broken != second
    assert done.returncode == 1
    assert "model.tflite" in done.stderr
    assert load.failures == []
    assert set(load.served) == {second}
    status = laptop.client("cloudformation").describe_stacks(StackName=names.endpoint_stack("local"))[
        "Stacks"
    ][0]
    assert status["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"


def test_a_rollback_serves_the_release_before(laptop: Laptop, first: str, second: str) -> None:
    laptop.run("scripts/rollback", "--env", "local")
    assert released(laptop) == first
    assert serving(laptop) == first


def test_destroying_leaves_no_resource(laptop: Laptop, first: str) -> None:
    done = laptop.run("scripts/destroy", "--env", "local", "--yes")
    assert done.stderr.splitlines()[-1] == "Nothing of local is left."
    stacks = laptop.client("cloudformation").list_stacks()["StackSummaries"]
    left = {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}
    assert left == {"CDKToolkit"}
    sagemaker = laptop.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []
    buckets = [bucket["Name"] for bucket in laptop.client("s3").list_buckets()["Buckets"]]
    assert not [name for name in buckets if name.startswith(names.PROJECT)]
    repositories = laptop.client("ecr").describe_repositories()["repositories"]
    assert names.repository("local") not in {repository["repositoryName"] for repository in repositories}
    assert laptop.client("lambda").list_functions()["Functions"] == []
    assert laptop.client("logs").describe_log_groups()["logGroups"] == []


def _break(laptop: Laptop, *, sha256: str, record: Path) -> str:
    """Release an artifact like the given one, but with a damaged network."""
    broken = repackage(
        laptop, sha256, lambda name, held: held[: len(held) // 2] if name == "model.tflite" else held
    )
    described = json.loads((laptop.root / "infra/releases/local.json").read_text())
    write_record(record, described, broken, version="3")
    return broken.sha256
