"""Compare what is there with what was deployed: whatever was changed by hand since is drift."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aws_cdk
import boto3

from scripts.delivery.aws import assume
from scripts.delivery.cdk import cdk
from scripts.delivery.console import step
from scripts.delivery.synthesis import synthesize

if TYPE_CHECKING:
    from infra.config import Settings


def drift(settings: Settings, *, record: Path) -> None:
    """Let `cdk drift --fail` look at every stack of an environment.

    Raises
    ------
    DeliveryError
        If a stack is not as it was deployed.
    """
    with tempfile.TemporaryDirectory() as folder:
        assembly = Path(folder)
        with step("cdk synth"):
            synthesize(settings, record=record if record.exists() else None, to=assembly)
        with step(f"cdk drift of {settings.environment}"):
            cdk("drift", "--all", "--fail", "--app", str(assembly), environment=_as_reader(settings))


def _as_reader(settings: Settings) -> dict[str, str]:
    """Return the environment variables by which the CDK CLI is the bootstrap's role for reading.

    It deploys by the bootstrap's roles, but looks for drift with the caller's own credentials, which would
    have to be allowed to read every resource.
    """
    partition, account = boto3.client("sts").get_caller_identity()["Arn"].split(":")[1:5:3]
    qualifier = aws_cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER
    role = f"arn:{partition}:iam::{account}:role/cdk-{qualifier}-lookup-role-{account}-{settings.region}"
    return assume(role).environment
