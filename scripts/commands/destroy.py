"""Delete an environment, after listing what goes and what stays; protected ones need --lift-protection."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError, WaiterError

from infra.release import record_path
from scripts.cli import command_parser
from scripts.commands import common
from scripts.console import DeliveryError, echo, step
from scripts.delivery.aws import waiting
from scripts.delivery.pruning import prune
from scripts.delivery.stacks import failures, stacks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef

    from infra.config import Settings

_BUCKET = "AWS::S3::Bucket"
_GONE = "DELETE_COMPLETE"
_KEEPING = ("Retain", "RetainExceptOnCreate")


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
        """Names of the buckets that are deleted with the stack; S3 only deletes empty ones."""
        return tuple(each.name for each in self.resources if each.kind == _BUCKET and not each.kept)


def main(arguments: list[str] | None = None) -> None:
    """Delete the environment."""
    parser = command_parser("destroy", __doc__)
    common.add_environment(parser)
    parser.add_argument(
        "--yes",
        action="store_true",
        help="do not ask; only where nothing is protected and no data is retained",
    )
    parser.add_argument(
        "--lift-protection",
        action="store_true",
        help="delete a protected environment too; resources that it retains stay",
    )
    options = parser.parse_args(arguments)
    common.run(
        options, lambda settings: destroy(settings, yes=options.yes, lift_protection=options.lift_protection)
    )


def destroy(settings: Settings, *, yes: bool = False, lift_protection: bool = False) -> None:
    """Empty the buckets of an environment and delete all its stacks.

    What CloudFormation has deployed is deleted, not what this tree declares: that works without a release
    record, and for stacks that were never created completely.

    `yes` confirms, only where nothing is protected and no data is kept; with `lift_protection` the stacks of
    a protected environment are deleted too, and its data stays.
    """
    stacks = deployed_stacks(settings.environment)
    if not stacks:
        echo(f"Nothing of {settings.environment} is deployed.")
        return
    for line in plan(stacks):
        echo(line)
    record = record_path(settings.environment).name
    echo(f"  untouched: the CDK's bootstrap (CDKToolkit), {record} and its model card, and local artifacts")
    kept = [resource for stack in stacks for resource in stack.resources if resource.kept]
    declared = settings.retain_data or settings.termination_protection
    if declared or kept or any(stack.protected for stack in stacks):
        if not lift_protection:
            raise DeliveryError(
                f"{settings.environment} is protected, or keeps data. Nothing was deleted. To delete it, run "
                "this again with --lift-protection; what is marked KEPT stays even then."
            )
        if yes:
            raise DeliveryError("--yes works only without protection: a person has to confirm this.")
    if not yes:
        sys.stderr.write(f"Type {settings.environment} to delete all this: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip() != settings.environment:
            raise DeliveryError("Not confirmed; nothing was deleted.")
    for stack in stacks:
        with step(f"deleting {stack.name}"):
            _delete(stack, wait=waiting(settings))
    with step("deleting the models and endpoint configurations of earlier releases"):
        prune(settings.environment, reader=boto3.Session(), deleter=boto3.Session())
    _report(settings, kept)


def deployed_stacks(environment: str) -> list[Stack]:
    """Return the environment's stacks, the newest first: it may depend on older ones."""
    client = boto3.client("cloudformation")
    found = [stack for stack in stacks_of(environment, client) if stack["StackStatus"] != _GONE]
    return [
        Stack(
            name=stack["StackName"],
            protected=stack.get("EnableTerminationProtection", False),
            resources=tuple(_resources(client, stack["StackName"])),
        )
        for stack in sorted(found, key=lambda stack: stack["CreationTime"], reverse=True)
    ]


def _resources(client: CloudFormationClient, stack: str) -> Iterator[Resource]:
    declared = client.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]["Resources"]
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    for each in pages.search("StackResourceSummaries[]"):
        name = each.get("PhysicalResourceId")
        if name and each["ResourceStatus"] != _GONE:
            policy = declared.get(each["LogicalResourceId"], {}).get("DeletionPolicy")
            yield Resource(kind=each["ResourceType"], name=name, kept=policy in _KEEPING)


def plan(stacks: list[Stack]) -> Iterator[str]:
    """Yield lines with what will be deleted and what will be kept."""
    for stack in stacks:
        yield f"{stack.name}{', protected from deletion' if stack.protected else ''}:"
        for resource in sorted(stack.resources, key=lambda each: (each.kept, each.kind, each.name)):
            verb = "KEPT" if resource.kept else "deleted"
            contents = ", with all its objects and their versions" if resource.name in stack.buckets else ""
            yield f"  {verb}: {resource.kind.removeprefix('AWS::')} {resource.name}{contents}"


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
            f"{stack.name} was not deleted: "
            f"{failures(client, stack.name, since='DELETE_IN_PROGRESS') or error}\n"
            "Fix that, then run the same command again: it deletes the rest."
        ) from error


def _empty(bucket: str) -> None:
    """Delete every object version and unfinished upload; a bucket that does not exist is empty."""
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


def _report(settings: Settings, kept: list[Resource]) -> None:
    if not kept:
        echo(f"Nothing of {settings.environment} is left.")
        return
    echo(f"{settings.environment} is deleted. Kept, and billed until they are deleted:")
    for each in kept:
        echo(f"  {each.kind.removeprefix('AWS::')} {each.name}")
    echo(
        f"`scripts/deploy --env {settings.environment}` takes the buckets, the repository and their key over."
    )
