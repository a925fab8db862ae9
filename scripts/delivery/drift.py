"""Find what was changed by hand since an environment was deployed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra import names
from scripts.console import DeliveryError, step
from scripts.delivery.aws import bootstrap_session, credentials_of
from scripts.delivery.cdk import cdk, synthesize

if TYPE_CHECKING:
    import boto3

    from infra.config import Settings


def drift(settings: Settings, *, record: Path) -> None:
    """Run `cdk drift --fail` on every stack of an environment, then compare its endpoint.

    CloudFormation's drift detection does not support every resource type; the endpoint's may be one.
    """
    session = bootstrap_session(settings, "lookup")
    differences: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        with step("cdk synth"):
            synthesize(settings, record=record if record.exists() else None, to=Path(folder))
        with step(f"cdk drift of {settings.environment}"):
            try:
                # The CDK CLI assumes none of the bootstrap's roles for this.
                credentials = credentials_of(session)
                cdk("drift", "--fail", "--app", folder, local=settings.local, credentials=credentials)
            except DeliveryError as error:
                differences.append(str(error))
    if difference := _endpoint_difference(settings, session):
        differences.append(difference)
    if differences:
        raise DeliveryError("\n".join(differences))


def _endpoint_difference(settings: Settings, session: boto3.Session) -> str | None:
    """Return how the endpoint differs from what its stack deployed, if it does."""
    stack = names.stack(settings.environment, "endpoint")
    try:
        (described,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError:
        return None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    if not outputs:  # the stack was never created
        return None
    name, declared = outputs["EndpointName"], outputs["EndpointConfigName"]
    named = f"--endpoint-name {name} --endpoint-config-name {declared}"
    try:
        serving = session.client("sagemaker").describe_endpoint(EndpointName=name)["EndpointConfigName"]
    except ClientError as error:
        if "Could not find endpoint" not in str(error):
            raise
        return (
            f"Endpoint {name} was deleted, but {stack} still holds it, so that no deploy creates it. "
            f"`aws sagemaker create-endpoint {named}` creates it as it was deployed; then run `scripts/smoke "
            f"--env {settings.environment}`."
        )
    if serving == declared:
        return None
    return (
        f"Endpoint {name} serves {serving}, but {declared} was deployed. "
        f"`aws sagemaker update-endpoint {named} --retain-deployment-config` restores it."
    )
