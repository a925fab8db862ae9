"""The ECR repository of the serving image, and the role that may push to it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.constructs.acknowledge import acknowledge_wildcard


class ImageRepository(Construct):
    """Images tagged by their content: a tag is never overwritten, and a tagged image never expires.

    So whatever an earlier release names can be pulled again by a rollback.

    Attributes
    ----------
    repository
        The ECR repository.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        publishing_role_name: str,
        key: kms.IKey | None,
        retain: bool,
    ) -> None:
        super().__init__(scope, id_)
        self.repository = ecr.Repository(
            self,
            "Repository",
            repository_name=name,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            # ECR uses the key by a grant of its own: whoever pulls or pushes needs no permission for it.
            encryption=ecr.RepositoryEncryption.KMS if key else ecr.RepositoryEncryption.AES_256,
            encryption_key=key,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    description="Layers that lost their tag",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=cdk.Duration.days(14),
                )
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN if retain else cdk.RemovalPolicy.DESTROY,
            empty_on_delete=not retain,
        )
        self._add_publishing_role(publishing_role_name)

    def _add_publishing_role(self, name: str) -> None:
        """Let the account's deployers push here; the bootstrap's role may push to its own repository only."""
        role = iam.Role(
            self,
            "PublishingRole",
            role_name=name,
            assumed_by=iam.AccountRootPrincipal(),
            description="cdk deploy assumes it to push the serving image",
        )
        self.repository.grant_pull_push(role)
        self.repository.grant(role, "ecr:DescribeImages", "ecr:DescribeRepositories")  # is it there already?
        acknowledge_wildcard(
            role, "*", reason="ecr:GetAuthorizationToken takes no resource; every other action has one."
        )
