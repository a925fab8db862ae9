"""Permissions of roles, and the acknowledgement of what cdk-nag finds in them and elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import IConstruct

    from infra.config import Settings

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
WRITE_LOGS = ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")


def allow(
    role: iam.Role,
    *actions: str,
    on: str | list[str],
    wildcard: str | None = None,
    conditions: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Allow a role actions on resources; `wildcard` is the reason where the one resource has a wildcard."""
    resources = [on] if isinstance(on, str) else on
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=resources, conditions=conditions))
    if wildcard:
        acknowledge_wildcard(role, resources[0], reason=wildcard)


def arn(
    scope: IConstruct,
    service: str,
    resource: str,
    name: str | None = None,
    *,
    region: str | None = None,
    account: str | None = None,
    colon: bool = False,
) -> str:
    """Return an ARN, by default in the stack's region and account, its name after a slash or a `colon`."""
    return cdk.Stack.of(scope).format_arn(
        service=service,
        region=region,
        account=account,
        resource=resource,
        resource_name=name,
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME if colon else None,
    )


def in_bucket(scope: IConstruct, bucket: str, keys: str | None = None) -> str:
    """Return the ARN of a bucket, or of the objects in it that have these keys."""
    return arn(scope, "s3", bucket, keys, region="", account="")


def bucket_name(scope: IConstruct, settings: Settings, holds: names.Holds) -> str:
    """Return the name of one of the environment's buckets."""
    account = cdk.Stack.of(scope).account
    return names.bucket(settings.environment, holds, account=account, region=settings.region)


def acknowledge(scope: IConstruct, rule: str, *, reason: str) -> None:
    """Acknowledge a finding of cdk-nag in a construct, by its id: ``AwsSolutions-IAM5[Resource::*]``."""
    # Without the pack's name in front the finding would vanish from the validation report.
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=f"AwsSolutions::{rule}", reason=reason))


def acknowledge_wildcard(scope: IConstruct, resource: str, *, reason: str) -> None:
    """Acknowledge that a policy at `scope` allows `resource`, an ARN with a wildcard or ``*`` itself."""
    resolved = _as_cdk_nag_writes(cdk.Stack.of(scope).resolve(resource))
    acknowledge(scope, f"AwsSolutions-IAM5[Resource::{resolved}]", reason=reason)


def _as_cdk_nag_writes(value: object) -> str:
    """Write a resolved value with references in angle brackets, as the ids of findings have them."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::Join": ["", [*parts]]}:
            return "".join(_as_cdk_nag_writes(part) for part in parts)
        case _:
            return str(value)
