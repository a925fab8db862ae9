"""`scripts/drift`, by the real CDK CLI on a laptop's AWS, as the bootstrap's role for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from infra import config, names
from scripts.delivery.console import DeliveryError
from scripts.delivery.deployment import deploy_registry
from scripts.delivery.drift import drift

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings
    from tests.local.cloud import Cloud

LOCAL = config.load("local")


@pytest.fixture
def deployed(reached: Cloud) -> Settings:
    """The registry stack on a bootstrapped laptop."""
    deploy_registry(LOCAL)
    return LOCAL


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
