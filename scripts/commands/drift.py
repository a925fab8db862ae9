"""Detect manual changes to a deployed environment; exit with 1 if there are any."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from infra import names
from scripts.commands import common
from scripts.console import DeliveryError, detail, step
from scripts.delivery.aws import find_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceDriftTypeDef

    from infra.config import Settings

# Reading them returns API keys and clients' secrets, which a drift check must not see.
_NOT_READ = (
    *("AWS::ApiGateway::ApiKey", "AWS::ApiGateway::UsagePlan", "AWS::ApiGateway::UsagePlanKey"),
    "AWS::Cognito::UserPoolClient",
)
_SCALABLE_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
_LONGEST_DETECTION_S = 600


def main(arguments: list[str] | None = None) -> None:
    """Compare what is deployed with its templates."""
    options = common.release_parser("drift", __doc__).parse_args(arguments)
    common.run(options, lambda settings: drift(settings, record=common.record_of(options)))


def drift(settings: Settings, *, record: Path) -> None:
    """Detect the drift of every stack of an environment, then compare its endpoint.

    It reads with the caller's own rights; `infra/constructs/delivery/drift_role.py` has those that suffice.
    CloudFormation's drift detection does not support every resource type; the endpoint's may be one.
    """
    client = boto3.client("cloudformation")
    differences: list[str] = []
    for stack in _stacks(settings, released=record.exists()):
        with step(f"drift of {stack}"):
            differences += _stack_differences(client, stack)
    if difference := _endpoint_difference(settings):
        differences.append(difference)
    if differences:
        raise DeliveryError("\n".join(differences))


def _stacks(settings: Settings, *, released: bool) -> Iterator[str]:
    """Yield the names of the stacks that `infra/app.py` declares."""
    declared: dict[names.Part, object] = {
        "registry": True,
        "delivery": settings.github,
        "endpoint": released,
        "gateway": released,
        "monitoring": released and settings.monitoring,
    }
    yield from (names.stack(settings.environment, part) for part, is_ in declared.items() if is_)


def _stack_differences(client: CloudFormationClient, stack: str) -> Iterator[str]:
    """Yield a line for each resource that was changed, was deleted or could not be read."""
    try:
        detection = client.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":  # the stack is absent, or never complete
            raise
        yield f"{stack} cannot be compared: {error.response['Error']['Message']}"
        return
    deadline = time.monotonic() + _LONGEST_DETECTION_S
    while (status := client.describe_stack_drift_detection_status(StackDriftDetectionId=detection))[
        "DetectionStatus"
    ] == "DETECTION_IN_PROGRESS":
        if time.monotonic() > deadline:
            raise DeliveryError(f"The drift detection of {stack} has not ended; run the command again.")
        time.sleep(2)
    resources = list(_resources(client, stack))
    unread = [each for each in resources if each["StackResourceDriftStatus"] == "UNKNOWN"]
    if status["DetectionStatus"] == "DETECTION_FAILED" and not unread:
        yield f"{stack} cannot be compared: {status.get('DetectionStatusReason')}"
    for each in resources:
        yield from (f"{stack}: {line}" for line in _resource_differences(each))
    detail(f"    {len(resources) - len(unread)} resources compared")


def _resources(client: CloudFormationClient, stack: str) -> Iterator[StackResourceDriftTypeDef]:
    answer = client.describe_stack_resource_drifts(StackName=stack)
    yield from answer["StackResourceDrifts"]
    while "NextToken" in answer:
        answer = client.describe_stack_resource_drifts(StackName=stack, NextToken=answer["NextToken"])
        yield from answer["StackResourceDrifts"]


def _resource_differences(resource: StackResourceDriftTypeDef) -> Iterator[str]:
    kind, status = resource["ResourceType"], resource["StackResourceDriftStatus"]
    name = f"{kind} {resource['LogicalResourceId']} ({resource.get('PhysicalResourceId')})"
    if status == "DELETED":
        yield f"{name} was deleted"
    elif status == "UNKNOWN" and kind not in _NOT_READ:
        yield f"{name} cannot be compared: {resource.get('DriftStatusReason')}"
    for each in resource.get("PropertyDifferences", []) if status == "MODIFIED" else []:
        path, actual = each["PropertyPath"], each["ActualValue"]
        if actual not in _scheduled(resource, path):
            yield f"{name}: {path} is {actual}, but {each['ExpectedValue']} was deployed"


def _scheduled(resource: StackResourceDriftTypeDef, path: str) -> set[str]:
    """Return the values that the deployed schedule itself gives a scalable target's capacity."""
    if resource["ResourceType"] != _SCALABLE_TARGET or path not in {"/MinCapacity", "/MaxCapacity"}:
        return set()
    actions = json.loads(resource["ExpectedProperties"]).get("ScheduledActions", [])
    return {str(action["ScalableTargetAction"].get(path[1:])) for action in actions}


def _endpoint_difference(settings: Settings) -> str | None:
    """Return how the endpoint differs from what its stack deployed, if it does."""
    stack = names.stack(settings.environment, "endpoint")
    described = find_stack(boto3.client("cloudformation"), stack)
    if described is None or not described.get("Outputs"):  # it was never complete
        return None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
    name, declared = outputs["EndpointName"], outputs["EndpointConfigName"]
    named = f"--endpoint-name {name} --endpoint-config-name {declared}"
    try:
        serving = boto3.client("sagemaker").describe_endpoint(EndpointName=name)["EndpointConfigName"]
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
