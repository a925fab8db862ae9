"""What state an environment's stacks are in before a deploy: somebody is at them, stuck, or ready."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra import names
from scripts.delivery.aws import AWS_ERRORS, deployer, reader
from scripts.delivery.cdk import cdk
from scripts.delivery.console import BusyError, DeliveryError, say, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from infra.config import Settings

_UNDER_REVIEW = "REVIEW_IN_PROGRESS"  # a change set that was never executed: nothing is under way
_STUCK = ("UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED", "CREATE_FAILED")  # `cdk rollback` takes them back
_NEVER_CAME_UP = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")  # `cdk deploy` deletes and creates these anew
_HALF_DELETED = "DELETE_FAILED"


def refuse_if_busy(settings: Settings) -> None:
    """Refuse to deploy while anybody changes a stack of the environment.

    Raises
    ------
    BusyError
        With each such stack, and since when.
    """
    busy = [
        f"{stack['StackName']} is in {stack['StackStatus']} since {_since(stack)}"
        for stack in _stacks(settings)
        if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != _UNDER_REVIEW
    ]
    if busy:
        raise BusyError(
            f"{'; '.join(busy)}: another deploy, or a roll-back, is under way. "
            "Nothing was changed. Wait for its end, then run the same command again."
        )


def unstick(settings: Settings, *, assembly: str) -> None:
    """Bring stacks that an earlier deploy left unfinished to where the next one can begin.

    Parameters
    ----------
    assembly
        The folder of the synthesized stacks.

    Raises
    ------
    DeliveryError
        If a person has to mend something first.
    """
    for stack in list(_stacks(settings)):
        name, status = stack["StackName"], stack["StackStatus"]
        if status in _STUCK:
            _roll_back(stack, assembly=assembly, settings=settings)
        elif status in _NEVER_CAME_UP and stack.get("EnableTerminationProtection"):
            # The CDK deletes it, which the protection that it was given before it came up would forbid.
            say(f"  {name} never came up: its protection is lifted, so that it can be made anew")
            client = deployer(settings).session.client("cloudformation")
            client.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        elif status == _HALF_DELETED:
            raise DeliveryError(
                f"{name} is half deleted ({stack.get('StackStatusReason', status)}). "
                f"`scripts/destroy --env {settings.environment}` goes on with the rest; then deploy again."
            )


def _roll_back(stack: StackTypeDef, *, assembly: str, settings: Settings) -> None:
    name, status = stack["StackName"], stack["StackStatus"]
    with step(f"{name} is stuck in {status}: cdk rollback"):
        cdk("rollback", name, "--app", assembly)
    # The CDK's exit status does not tell: it is a success where CloudFormation failed once more.
    (now,) = (each for each in _stacks(settings) if each["StackName"] == name)
    if now["StackStatus"] in _STUCK:
        raise DeliveryError(
            f"{name} is stuck in {now['StackStatus']} and cannot go back: {_reasons(settings, name)}\n"
            "Mend what that names (make again what somebody deleted by hand), and run the same command "
            f"again; or leave that part as it is: `npx cdk rollback {name} --orphan LOGICAL_ID "
            f"-c env={settings.environment}`."
        )


def _reasons(settings: Settings, name: str) -> str:
    """Return why the stack's latest roll-back failed, by logical id."""
    client = reader(settings).session.client("cloudformation")
    failed: dict[str, str] = {}
    for event in client.describe_stack_events(StackName=name)["StackEvents"]:  # the newest first
        logical_id, status = event["LogicalResourceId"], event["ResourceStatus"]
        if logical_id == name and status == "UPDATE_ROLLBACK_IN_PROGRESS":
            break
        if logical_id != name and status.endswith("_FAILED"):
            failed.setdefault(logical_id, event.get("ResourceStatusReason", status))
    return "; ".join(f"{logical_id}: {reason}" for logical_id, reason in failed.items())


def _stacks(settings: Settings) -> Iterator[StackTypeDef]:
    """Yield the environment's stacks; none where the account has no bootstrap, which the CDK then says."""
    try:
        client = reader(settings).session.client("cloudformation")
    except AWS_ERRORS:
        return
    for page in client.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            if stack["StackName"].startswith(names.stack_prefix(settings.environment)):
                yield stack


def _since(stack: StackTypeDef) -> str:
    began = stack.get("LastUpdatedTime") or stack["CreationTime"]
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    return f"{began.astimezone(UTC):%H:%M:%S} UTC ({minutes:.0f} min ago)"
