"""`scripts/drift`, by the real CDK CLI on a laptop's AWS, as the bootstrap's role for reading."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
import pytest

from infra import config, names
from infra.local import LocalAws
from scripts.delivery.aws import reach
from scripts.delivery.cdk import CDK, cdk
from scripts.delivery.console import DeliveryError
from scripts.delivery.deployment import deploy_registry
from scripts.delivery.drift import drift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.config import Settings

LOCAL = config.load("local")


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A bootstrapped laptop with the registry stack, which this process reaches."""
    before = dict(os.environ)
    with LocalAws(port=0, engine="process", log=tmp_path / "aws.log", region=LOCAL.region) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
        monkeypatch.setenv("PATH", f"{CDK.parents[2] / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        reach(LOCAL)
        cdk("bootstrap", f"aws://{aws.account}/{LOCAL.region}")
        deploy_registry(LOCAL)
        yield LOCAL
    os.environ.clear()
    os.environ.update(before)


def test_what_was_removed_by_hand_is_drift_and_nothing_else_is(
    deployed: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unreleased = tmp_path / "absent.json"
    # Given what was deployed, as it was deployed, there is no drift
    drift(deployed, record=unreleased)
    capfd.readouterr()
    # When the repository is removed by hand
    boto3.client("ecr").delete_repository(repositoryName=names.repository("local"), force=True)
    # Then it is named, and the command fails
    with pytest.raises(DeliveryError, match="cdk drift"):
        drift(deployed, record=unreleased)
    assert "AWS::ECR::Repository" in capfd.readouterr().err
