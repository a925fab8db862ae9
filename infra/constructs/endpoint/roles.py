"""The role of SageMaker for the model, and those of scripts that delete earlier releases or run batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import names
from infra.config.hosting import VOLUME_KEY_ACTIONS, RealTime, Serverless
from infra.constructs.policies import PULL, WRITE_LOGS, allow, arn, bucket_name, in_bucket
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_kms as kms

    from infra.config import Settings
    from infra.config.hosting import Network


class ExecutionRole(Construct):
    """SageMaker's: may read one repository and the artifacts of one bucket, and write one log group.

    The settings add their key, captured data, batches and a network.

    The permissions are those that docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html lists for
    CreateModel, without metrics (the container sends none) and without listing the bucket.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, key: kms.IKey | None) -> None:
        super().__init__(scope, id_)
        log_group = names.endpoint_log_group(settings.endpoint_name)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        allow(self.role, *PULL, on=arn(self, "ecr", "repository", names.deployment(settings.environment)))
        allow(
            self.role,
            "ecr:GetAuthorizationToken",
            on="*",
            wildcard="ecr:GetAuthorizationToken and what describes networks take no resource; all else does.",
        )
        allow(
            self.role,
            "s3:GetObject",
            on=in_bucket(self, bucket_name(self, settings, "models"), f"{ARTIFACTS}/*"),
            wildcard="While an update runs both the old release's artifact and the new one's are read.",
        )
        allow(
            self.role,
            *WRITE_LOGS,
            on=arn(self, "logs", "log-group", f"{log_group}:*", colon=True),
            wildcard="SageMaker names the streams of the group.",
        )
        if key:
            allow(self.role, "kms:Decrypt", on=key.key_arn)  # for the artifacts
        if settings.batch:
            self._allow_batch(bucket_name(self, settings, "batch"), settings.batch.buckets, key)
        if key and (settings.batch or not isinstance(settings.hosting, Serverless)):
            self._allow_volume(key)
        if isinstance(settings.hosting, RealTime):
            if settings.data_capture:
                self._allow_capture(bucket_name(self, settings, "sample"), key)
            if settings.hosting.network:
                self._allow_network(settings.hosting.network)

    def _allow_volume(self, key: kms.IKey) -> None:
        """Allow encrypting the instances' volumes, for which SageMaker uses the key as this role.

        botocore's CreateEndpointConfig names no actions. These are those of an encrypted EBS volume, and
        **unverified on AWS**.
        """
        allow(self.role, *VOLUME_KEY_ACTIONS, on=key.key_arn)
        by_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        allow(self.role, "kms:CreateGrant", on=key.key_arn, conditions=by_aws)

    def _allow_capture(self, bucket: str, key: kms.IKey | None) -> None:
        """Allow writing captured data, but not reading it."""
        reason = "SageMaker names each captured file by its time; all go in here."
        allow(self.role, "s3:PutObject", on=in_bucket(self, bucket, "*"), wildcard=reason)
        if key:
            allow(self.role, "kms:GenerateDataKey", on=key.key_arn)

    def _allow_batch(self, bucket: str, sources: Sequence[str], key: kms.IKey | None) -> None:
        """Allow transform jobs of the model: reading images, writing answers and logs.

        SageMaker's one log group for all jobs of the account belongs to no environment, so jobs create it.
        **Unverified on AWS:** that a job with a manifest lists no bucket.
        """
        reason = "A job reads the objects that its manifest names, and writes one for each."
        for name in (bucket, *sources):
            allow(self.role, "s3:GetObject", on=in_bucket(self, name, "*"), wildcard=reason)
        answers = in_bucket(self, bucket, f"{names.BATCH_RUNS}/*")
        allow(self.role, "s3:PutObject", on=answers, wildcard=reason)
        group = arn(self, "logs", "log-group", names.TRANSFORM_LOG_GROUP, colon=True)
        allow(
            self.role,
            "logs:CreateLogGroup",
            *WRITE_LOGS,
            on=f"{group}:*",
            wildcard="SageMaker names the streams of the group after the jobs.",
        )
        if key:
            allow(self.role, "kms:GenerateDataKey", on=key.key_arn)

    def _allow_network(self, network: Network) -> None:
        """Allow attaching the instances to the subnets.

        docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, CreateModel with a VPC.
        """
        interfaces = arn(self, "ec2", "network-interface", "*")
        subnets = [arn(self, "ec2", "subnet", id_) for id_ in network.subnet_ids]
        groups = [arn(self, "ec2", "security-group", id_) for id_ in network.security_group_ids]
        allow(
            self.role,
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            on=interfaces,
            wildcard="An interface has no id before it is made, and SageMaker makes it.",
        )
        allow(self.role, "ec2:CreateNetworkInterface", on=[interfaces, *subnets, *groups])
        allow(
            self.role,
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
            on="*",
        )


class PruningRole(Construct):
    """May delete models and endpoint configurations with one value of the tag `deployment` only."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings) -> None:
        super().__init__(scope, id_)
        role = iam.Role(
            self,
            "Role",
            role_name=names.role(settings.environment, "pruning", region=settings.region),
            assumed_by=iam.AccountRootPrincipal(),
            description="scripts/deploy assumes it to delete what earlier releases left",
        )
        reason = "CloudFormation gives each release new names; the tag is this environment's."
        ours = {"StringEquals": {"aws:ResourceTag/deployment": names.deployment(settings.environment)}}
        for action, kind in (("DeleteModel", "model"), ("DeleteEndpointConfig", "endpoint-config")):
            everything = arn(self, "sagemaker", kind, "*")
            allow(role, f"sagemaker:{action}", on=everything, wildcard=reason, conditions=ours)


class BatchRole(Construct):
    """May use the batch bucket, and run transform jobs whose names begin with the deployment's.

    A job acts as its model's role, so no role is passed. Other buckets are only listed: the job reads them.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, key: kms.IKey | None) -> None:
        super().__init__(scope, id_)
        environment, region = settings.environment, settings.region
        bucket = bucket_name(self, settings, "batch")
        role = iam.Role(
            self,
            "Role",
            role_name=names.role(environment, "batch", region=region),
            assumed_by=iam.AccountRootPrincipal(),
            description="scripts/batch assumes it to run transform jobs",
        )
        actions = ("CreateTransformJob", "DescribeTransformJob", "StopTransformJob", "AddTags")
        allow(
            role,
            *(f"sagemaker:{action}" for action in actions),
            on=arn(self, "sagemaker", "transform-job", f"{names.deployment(environment)}-*"),
            wildcard="Each job has a name of its own.",
        )
        listed = [bucket, *(settings.batch.buckets if settings.batch else ())]
        allow(role, "s3:ListBucket", on=[in_bucket(self, each) for each in listed])
        reason = "It keeps manifests, local images and results, and reads the answers."
        allow(role, "s3:GetObject", "s3:PutObject", on=in_bucket(self, bucket, "*"), wildcard=reason)
        if key:
            allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=key.key_arn)
