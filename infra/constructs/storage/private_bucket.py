"""The S3 buckets: private, encrypted, TLS only."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.policies import acknowledge

UPLOADS = s3.CorsRule(allowed_methods=[s3.HttpMethods.POST], allowed_origins=["*"], allowed_headers=["*"])


class PrivateBucket(Construct):
    """A bucket for model artifacts or, with `expire_days`, for captured data, labels, images or answers.

    Artifacts are versioned, and only replaced versions expire: what a release names must stay. The others
    are not versioned: what has expired must be gone. Pages anywhere may upload with a form that the gateway
    has signed, where `takes_uploads`: the page's own address is made in a later stack.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        key: kms.IKey | None,
        retain: bool,
        expire_days: int | None = None,
        takes_uploads: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        if expire_days is None:
            rule = s3.LifecycleRule(
                id="ExpireReplacedVersions",
                noncurrent_version_expiration=cdk.Duration.days(90),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
            )
        else:
            rule = s3.LifecycleRule(
                id="Expire",
                expiration=cdk.Duration.days(expire_days),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
            )
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=name,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,  # one call to KMS for many objects
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=expire_days is None,
            lifecycle_rules=[rule],
            cors=[UPLOADS] if takes_uploads else None,
            removal_policy=cdk.RemovalPolicy.RETAIN if retain else cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            reason="Only our own roles and promotions write here; CloudTrail is the place for such events.",
        )
