"""The delivery stack: what the project's GitHub workflows may do in an environment's account.

A person deploys it once; from then on the workflows deliver, and no key of AWS is kept at GitHub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.environment_key import environment_key
from infra.constructs.github_access import LONGEST_DELIVERY, GitHubAccess, allow_to_become
from infra.constructs.smoke_role import SmokeRole
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.config import GitHub, Settings


class DeliveryStack(EnvironmentStack):
    """Three roles: one that deploys, one that proves what serves, one that looks for drift.

    The first becomes the CDK's own roles, which the account's bootstrap made, and the second; the third only
    the CDK's role for reading. None can do anything by itself.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, github: GitHub) -> None:
        super().__init__(
            scope, id_, settings=settings, description="tumor-detector: what GitHub's workflows may do here"
        )
        environment = settings.environment
        access = GitHubAccess(
            self, "GitHub", repository=github.repository, provider_exists=github.provider == "existing"
        )
        delivery = access.add_role(
            "DeliveryRole",
            github_environment=environment,
            may_become=[
                *self._bootstrap_roles("deploy", "file-publishing", "lookup"),
                # It stands in for the bootstrap's own: our images go into our repository.
                self._role_arn(names.image_publishing_role(environment)),
            ],
            description=f"deploys {environment}, by way of the CDK's roles",
            longest=LONGEST_DELIVERY,
        )
        watch = access.add_role(
            "WatchRole",
            github_environment=names.watch(environment),
            may_become=self._bootstrap_roles("lookup"),
            description=f"looks for drift in {environment}, by way of the CDK's role for reading",
        )
        smoke = SmokeRole(
            self, "Smoke", settings=settings, key=environment_key(self, settings), trusts=delivery
        )
        allow_to_become(delivery, [smoke.role.role_arn])
        self.add_output("DeliveryRoleArn", delivery.role_arn, "AWS_ROLE_ARN of the GitHub environment")
        self.add_output("SmokeRoleArn", smoke.role.role_arn, "AWS_SMOKE_ROLE_ARN of the same")
        self.add_output(
            "WatchRoleArn", watch.role_arn, f"AWS_ROLE_ARN of the environment {names.watch(environment)}"
        )

    def _bootstrap_roles(self, *kinds: str) -> Sequence[str]:
        """Return the ARNs of roles that `cdk bootstrap` made in this account and region."""
        qualifier = cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER
        suffix = f"{self.account}-{self.region}"
        return [self._role_arn(f"cdk-{qualifier}-{kind}-role-{suffix}") for kind in kinds]

    def _role_arn(self, name: str) -> str:
        return self.format_arn(service="iam", region="", resource="role", resource_name=name)
