"""The role that SageMaker takes to fetch the image and the model and to write the container's logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.acknowledge import acknowledge_wildcard
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_logs as logs

    from infra.settings.hosting import Network


class ExecutionRole(Construct):
    """May read one repository and the artifacts of one bucket, and write one log group.

    Each permission is one that docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html asks for under
    CreateModel; left out are its metrics (the container sends none) and its listing of the bucket.

    Attributes
    ----------
    role
        The role, to which whoever needs more for its own resources may add.
    """

    def __init__(
        self, scope: Construct, id_: str, *, repository_name: str, bucket_name: str, log_group: logs.ILogGroup
    ) -> None:
        super().__init__(scope, id_)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        self._allow_image(repository_name)
        self._allow_model(bucket_name)
        log_group.grant(self.role, "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")

    def allow_key(self, key: kms.IKey) -> None:
        """Let SageMaker read what is encrypted under the environment's key, the artifacts."""
        self._allow(key.key_arn, "kms:Decrypt")

    def allow_capture(self, bucket_name: str, key: kms.IKey | None) -> None:
        """Let SageMaker write what it captures; what it has written it cannot read."""
        captured_arn = self._in_bucket(bucket_name, "*")
        self._allow(captured_arn, "s3:PutObject")
        acknowledge_wildcard(
            self.role, captured_arn, reason="SageMaker names each captured file by its time; all go in here."
        )
        if key:
            self._allow(key.key_arn, "kms:GenerateDataKey")

    def allow_network(self, network: Network) -> None:
        """Let SageMaker attach the instances to the subnets.

        docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, CreateModel with a VPC.
        """
        format_arn = cdk.Stack.of(self).format_arn
        interfaces = format_arn(service="ec2", resource="network-interface", resource_name="*")
        named = [
            format_arn(service="ec2", resource=kind, resource_name=id_)
            for kind, ids in (("subnet", network.subnet_ids), ("security-group", network.security_group_ids))
            for id_ in ids
        ]
        self._allow(interfaces, "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface")
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["ec2:CreateNetworkInterface"], resources=[interfaces, *named])
        )
        self._allow(
            "*",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        )
        acknowledge_wildcard(
            self.role,
            interfaces,
            reason="An interface has no id before it is made, and SageMaker makes it.",
        )

    def _allow_image(self, repository_name: str) -> None:
        repository_arn = cdk.Stack.of(self).format_arn(
            service="ecr", resource="repository", resource_name=repository_name
        )
        self._allow(
            repository_arn,
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
        )
        self._allow("*", "ecr:GetAuthorizationToken")
        acknowledge_wildcard(
            self.role,
            "*",
            reason="ecr:GetAuthorizationToken and what describes networks take no resource; all else does.",
        )

    def _allow_model(self, bucket_name: str) -> None:
        artifacts_arn = self._in_bucket(bucket_name, f"{ARTIFACTS}/*")
        self._allow(artifacts_arn, "s3:GetObject")
        acknowledge_wildcard(
            self.role,
            artifacts_arn,
            reason="While an update runs both the old release's artifact and the new one's are read.",
        )

    def _in_bucket(self, bucket_name: str, keys: str) -> str:
        return cdk.Stack.of(self).format_arn(
            service="s3", region="", account="", resource=bucket_name, resource_name=keys
        )

    def _allow(self, resource: str, *actions: str) -> None:
        self.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[resource]))
