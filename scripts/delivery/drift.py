"""Compare what is there with what was deployed: whatever was changed by hand since is drift."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra import names
from scripts.delivery.aws import reader
from scripts.delivery.cdk import cdk
from scripts.delivery.console import DeliveryError, step
from scripts.delivery.synthesis import synthesize

if TYPE_CHECKING:
    import boto3

    from infra.config import Settings


def drift(settings: Settings, *, record: Path) -> None:
    """Let `cdk drift --fail` look at every stack of an environment, then look at the endpoint itself.

    CloudFormation need not look at an endpoint at all: it does not know every type's properties.

    Raises
    ------
    DeliveryError
        If a stack or the endpoint is not as it was deployed.
    """
    # The CDK CLI deploys by the bootstrap's roles, but looks for drift with the caller's own credentials.
    keys = reader(settings)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        assembly = Path(folder)
        with step("cdk synth"):
            synthesize(settings, record=record if record.exists() else None, to=assembly)
        with step(f"cdk drift of {settings.environment}"):
            try:
                cdk("drift", "--all", "--fail", "--app", str(assembly), environment=keys.environment)
            except DeliveryError as error:
                found.append(str(error))
    if endpoint := _of_endpoint(settings, keys.session):
        found.append(endpoint)
    if found:
        raise DeliveryError("\n".join(found))


def _of_endpoint(settings: Settings, session: boto3.Session) -> str | None:
    """Say how the endpoint differs from what its stack declares; without such a stack it cannot."""
    stack = names.endpoint_stack(settings.environment)
    try:
        (described,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError:
        return None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    if not outputs:  # it never came up
        return None
    name, declared = outputs["EndpointName"], outputs["EndpointConfigName"]
    named = f"--endpoint-name {name} --endpoint-config-name {declared}"
    try:
        serving = session.client("sagemaker").describe_endpoint(EndpointName=name)["EndpointConfigName"]
    except ClientError as error:
        if "Could not find endpoint" not in str(error):
            raise
        return (
            f"Endpoint {name} is gone, but {stack} still counts on it, and no deploy makes it again. "
            f"`aws sagemaker create-endpoint {named}` does, as it was deployed; then `scripts/smoke --env "
            f"{settings.environment}`."
        )
    if serving == declared:
        return None
    return (
        f"Endpoint {name} serves {serving}, but {declared} was deployed. "
        f"`aws sagemaker update-endpoint {named} --retain-deployment-config` puts it back."
    )
