"""The ECR repository of the serving image, and the role that may push to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import names
from infra.constructs.policies import acknowledge_wildcard

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from infra.config import Settings


class ImageRepository(Construct):
    """Images tagged by their content: a tag is never overwritten, and a tagged image never expires.

    So a rollback can pull the image of any earlier release.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, key: kms.IKey | None) -> None:
        super().__init__(scope, id_)
        environment, retain = settings.environment, settings.retain_data
        self.repository = ecr.Repository(
            self,
            "Repository",
            repository_name=names.deployment(environment),
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            # ECR uses the key by a grant of its own: neither pull nor push needs permission for it.
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
        # The bootstrap's role may push to the bootstrap's repository only.
        role = iam.Role(
            self,
            "PublishingRole",
            role_name=names.role(environment, "image-publishing", region=settings.region),
            assumed_by=iam.AccountRootPrincipal(),
            description="cdk deploy assumes it to push the serving image",
        )
        self.repository.grant_pull_push(role)
        self.repository.grant(role, "ecr:DescribeImages", "ecr:DescribeRepositories")  # is it there already?
        reason = "ecr:GetAuthorizationToken takes no resource; every other action has one."
        acknowledge_wildcard(role, "*", reason=reason)
