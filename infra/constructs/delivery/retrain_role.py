"""What `scripts/retrain` may do in a workflow: read labels and captured images, and add model artifacts.

It deploys nothing. What it trained is an artifact that no record names until a person merges its branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.delivery.monitor_role import allow_objects
from infra.constructs.policies import allow, arn
from infra.lambdas.gateway.labels import PREFIX as LABELS
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms

    from infra.config import Settings


def allow_retraining(role: iam.Role, settings: Settings, *, key: kms.IKey | None) -> None:
    """Allow a role to read what one environment served and had labelled, and to put artifacts."""
    environment = settings.environment
    place = {"account": cdk.Stack.of(role).account, "region": settings.region}
    stack = arn(role, "cloudformation", "stack", f"{names.stack(environment, 'registry')}/*")
    reason = "A stack's ARN ends in an id that it gets when it is made."
    allow(role, "cloudformation:DescribeStacks", on=stack, wildcard=reason)
    models = names.bucket(environment, **place)
    # Without the permission to list, S3 answers 403 for an artifact that does not exist yet.
    allow(role, "s3:ListBucket", on=arn(role, "s3", models, region="", account=""))
    artifacts = arn(role, "s3", models, f"{ARTIFACTS}/*", region="", account="")
    allow(role, "s3:GetObject", "s3:PutObject", on=artifacts, wildcard="An artifact's key contains its hash.")
    capture = settings.data_capture
    if settings.feedback and capture and {"input", "output"} <= {*capture.what}:
        allow_objects(role, names.label_bucket(environment, **place), LABELS, lists=True)
        allow_objects(role, names.capture_bucket(environment, **place), settings.endpoint_name, lists=True)
    if key:
        key.grant_decrypt(role)  # S3 requires both to return and to keep an object
        allow(role, "kms:GenerateDataKey", on=key.key_arn)
