"""What `scripts/monitor` may do in a workflow: read answers, labels and references, and put its metrics.

A captured file holds both sides of an exchange: where the input is captured, the role may read images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.gateway.gateway_function import ID as FUNCTION
from infra.constructs.policies import allow, arn
from infra.lambdas.gateway.labels import PREFIX as LABELS
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms

    from infra.config import Settings

_OBJECTS = "Objects are named by hour, request or hash when they are written."


def allow_monitoring(role: iam.Role, settings: Settings, *, key: kms.IKey | None) -> None:
    """Allow a role to read what one environment answered, and to put the metrics of `scripts/monitor`."""
    environment = settings.environment
    place = {"account": cdk.Stack.of(role).account, "region": settings.region}
    allow_objects(role, names.bucket(environment, **place), ARTIFACTS)
    if settings.feedback:
        allow_objects(role, names.label_bucket(environment, **place), LABELS, lists=True)
    if settings.captures_answers:
        captured = names.capture_bucket(environment, **place)
        allow_objects(role, captured, settings.endpoint_name, lists=True)
    else:
        _allow_log(role, environment)
    if key:
        key.grant_decrypt(role)  # S3 requires it to return an object
    # CloudWatch knows no resources; the second is bound to one namespace.
    allow(role, "cloudwatch:GetMetricData", on="*", wildcard="It takes no resource and returns figures only.")
    only = {"StringEquals": {"cloudwatch:namespace": names.MONITOR_NAMESPACE}}
    allow(role, "cloudwatch:PutMetricData", on="*", conditions=only)


def allow_objects(role: iam.Role, bucket: str, prefix: str, *, lists: bool = False) -> None:
    """Allow a role to read the objects below a prefix of a bucket, and to list them."""
    bucket_arn, objects = (
        arn(role, "s3", bucket, name, region="", account="") for name in (None, f"{prefix}/*")
    )
    if lists:
        allow(role, "s3:ListBucket", on=bucket_arn, conditions={"StringLike": {"s3:prefix": f"{prefix}/*"}})
    allow(role, "s3:GetObject", on=objects, wildcard=_OBJECTS)


def _allow_log(role: iam.Role, environment: str) -> None:
    stack = names.stack(environment, "gateway")
    reason = "CloudFormation generates the end of the name, when it makes it."
    stacks = arn(role, "cloudformation", "stack", f"{stack}/*")
    allow(role, "cloudformation:DescribeStacks", on=stacks, wildcard=reason)
    groups = arn(role, "logs", "log-group", f"{stack}-{FUNCTION}Logs*", colon=True)
    allow(role, "logs:FilterLogEvents", on=groups, wildcard=reason)
