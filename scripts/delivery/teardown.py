"""Take an environment down: say what goes and what stays, have it confirmed, and leave nothing behind.

What is deleted is what CloudFormation says is there, not what this tree declares today: an environment goes
away whole even where its release record is gone or its stacks were half made.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3
from botocore.exceptions import ClientError, WaiterError

from infra import names
from infra.release import record_path
from scripts.delivery.console import DeliveryError, say, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef

    from infra.config import Settings

_BUCKET = "AWS::S3::Bucket"
_GONE = "DELETE_COMPLETE"
_KEEPING = ("Retain", "RetainExceptOnCreate")
_WAIT: Final[WaiterConfigTypeDef] = {
    "Delay": 10,
    "MaxAttempts": 360,
}  # an endpoint that is being updated is waited for
_WAIT_ON_LAPTOP: Final[WaiterConfigTypeDef] = {"Delay": 1, "MaxAttempts": 300}


@dataclass(frozen=True)
class Resource:
    """One resource of a deployed stack."""

    kind: str
    name: str
    kept: bool


@dataclass(frozen=True)
class Stack:
    """A deployed stack and what it holds."""

    name: str
    protected: bool
    resources: tuple[Resource, ...]

    @property
    def buckets(self) -> tuple[str, ...]:
        """Names of the buckets that go with the stack, which S3 refuses to delete before they are empty."""
        return tuple(each.name for each in self.resources if each.kind == _BUCKET and not each.kept)

    @property
    def kept(self) -> tuple[Resource, ...]:
        """What outlives the stack."""
        return tuple(each for each in self.resources if each.kept)


def destroy(settings: Settings, *, yes: bool = False, lift_protection: bool = False) -> None:
    """Delete all stacks of an environment, its buckets' contents before them; a second run finds nothing.

    Parameters
    ----------
    settings
        The environment; its AWS must have been reached (`scripts.delivery.aws.reach`).
    yes
        Do not ask. Only where nothing is protected and no data is kept.
    lift_protection
        Delete the stacks of a protected environment too. Data that it keeps stays all the same.

    Raises
    ------
    DeliveryError
        If the environment is protected and `lift_protection` was not given, nobody confirmed, or
        CloudFormation could not delete a stack.
    """
    stacks = deployed_stacks(settings.environment)
    if not stacks:
        say(f"Nothing of {settings.environment} is deployed.")
        return
    for line in plan(stacks):
        say(line)
    say(f"  untouched: {_untouched(settings)}")
    guarded = is_guarded(settings, stacks)
    _refuse(settings, guarded=guarded, yes=yes, lift_protection=lift_protection)
    if not yes:
        _have_it_confirmed(settings.environment)
    for stack in stacks:
        with step(f"deleting {stack.name}"):
            _delete(stack, wait=_WAIT_ON_LAPTOP if settings.local else _WAIT)
    _say_what_stays(settings, [each for stack in stacks for each in stack.kept])


def is_guarded(settings: Settings, stacks: list[Stack]) -> bool:
    """Say whether the environment's file or what is deployed of it wants more than a yes."""
    written = settings.retain_data or settings.termination_protection
    return written or any(stack.protected or stack.kept for stack in stacks)


def deployed_stacks(environment: str) -> list[Stack]:
    """Return the environment's stacks, the one that was made last first: it may need those before it."""
    client = boto3.client("cloudformation")
    pages = client.get_paginator("describe_stacks").paginate()
    found = [
        stack
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(names.stack_prefix(environment)) and stack["StackStatus"] != _GONE
    ]
    found.sort(key=lambda stack: stack["CreationTime"], reverse=True)
    return [
        Stack(
            name=stack["StackName"],
            protected=stack.get("EnableTerminationProtection", False),
            resources=tuple(_resources(client, stack["StackName"])),
        )
        for stack in found
    ]


def _resources(client: CloudFormationClient, stack: str) -> Iterator[Resource]:
    declared = client.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]["Resources"]
    for page in client.get_paginator("list_stack_resources").paginate(StackName=stack):
        for each in page["StackResourceSummaries"]:
            name = each.get("PhysicalResourceId")
            if name and each["ResourceStatus"] != _GONE:
                policy = declared.get(each["LogicalResourceId"], {}).get("DeletionPolicy")
                yield Resource(kind=each["ResourceType"], name=name, kept=policy in _KEEPING)


def plan(stacks: list[Stack]) -> Iterator[str]:
    """Yield lines that say what will be deleted and what will be kept."""
    for stack in stacks:
        yield f"{stack.name}{', protected from deletion' if stack.protected else ''}:"
        for verb, chosen in (
            ("deleted", [each for each in stack.resources if not each.kept]),
            ("KEPT", stack.kept),
        ):
            for each in sorted(chosen, key=lambda each: (each.kind, each.name)):
                contents = ", with all its objects and their versions" if each.name in stack.buckets else ""
                yield f"  {verb}: {each.kind.removeprefix('AWS::')} {each.name}{contents}"


def _untouched(settings: Settings) -> str:
    record = record_path(settings.environment).name
    return f"the CDK's bootstrap (CDKToolkit), {record} and its model card, and this machine's artifacts"


def _refuse(settings: Settings, *, guarded: bool, yes: bool, lift_protection: bool) -> None:
    if not guarded:
        return
    if not lift_protection:
        raise DeliveryError(
            f"{settings.environment} is protected, or keeps data. Nothing was deleted. Whoever means it runs "
            "this again with --lift-protection; what is marked KEPT stays even then."
        )
    if yes:
        raise DeliveryError("--yes is for environments without protection: here a person confirms.")


def _have_it_confirmed(environment: str) -> None:
    sys.stderr.write(f"Type {environment} to delete all this: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != environment:
        raise DeliveryError("Not confirmed; nothing was deleted.")


def _delete(stack: Stack, *, wait: WaiterConfigTypeDef) -> None:
    client = boto3.client("cloudformation")
    if stack.protected:
        client.update_termination_protection(StackName=stack.name, EnableTerminationProtection=False)
    for bucket in stack.buckets:
        _empty(bucket)
    client.delete_stack(StackName=stack.name)
    try:
        client.get_waiter("stack_delete_complete").wait(StackName=stack.name, WaiterConfig=wait)
    except WaiterError as error:
        raise DeliveryError(
            f"{stack.name} was not deleted: {_reasons(client, stack.name) or error}\n"
            "Mend that, then run the same command again: it goes on with what is left."
        ) from error


def _empty(bucket: str) -> None:
    """Remove every version and every unfinished upload; a bucket that is gone already is empty."""
    resource = boto3.resource("s3").Bucket(bucket)
    try:
        failed = [error for batch in resource.object_versions.delete() for error in batch.get("Errors", [])]
        for upload in resource.multipart_uploads.all():
            upload.abort()
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchBucket"}:
            return
        raise
    if failed:
        raise DeliveryError(f"s3://{bucket} cannot be emptied: {failed[0].get('Message', failed[0])}")


def _reasons(client: CloudFormationClient, stack: str) -> str:
    try:
        events = client.describe_stack_events(StackName=stack)["StackEvents"]
    except ClientError:
        return ""
    said = [
        each.get("ResourceStatusReason", "") for each in events if each["ResourceStatus"] == "DELETE_FAILED"
    ]
    return "; ".join(dict.fromkeys(filter(None, said)))


def _say_what_stays(settings: Settings, kept: list[Resource]) -> None:
    if not kept:
        say(f"Nothing of {settings.environment} is left.")
        return
    say(f"{settings.environment} is down. Kept, and billed as long as they are there:")
    for each in kept:
        say(f"  {each.kind.removeprefix('AWS::')} {each.name}")
    say(
        "Their names are taken: a new deploy of this environment has to take them over, with "
        f"`npx cdk deploy --import-existing-resources -c env={settings.environment}` (not verified on a real "
        "account), or somebody deletes them."
    )
