"""The S3 bucket of captured answers, and of captured images where somebody asked for these."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.acknowledge import acknowledge


class CaptureBucket(Construct):
    """What SageMaker captures, for as many days as the settings say and not one more.

    It is not versioned: what has expired is to be gone.

    Attributes
    ----------
    bucket
        The bucket: private, encrypted, TLS only.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        expire_days: int,
        key: kms.IKey | None,
        retain: bool,
    ) -> None:
        super().__init__(scope, id_)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=name,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="WhatWasCaptured",
                    expiration=cdk.Duration.days(expire_days),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN if retain else cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            reason="Only SageMaker writes here, and it all expires; CloudTrail is the place for such events.",
        )
