"""The delivery stack: what the project's GitHub workflows may do in an environment's account.

A person deploys it once; then the workflows deliver, with no AWS key stored at GitHub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.delivery.drift_role import allow_drift_detection
from infra.constructs.delivery.github_access import LONGEST_DELIVERY, GitHubAccess
from infra.constructs.delivery.smoke_role import SmokeRole
from infra.constructs.policies import allow
from infra.constructs.storage.environment_key import environment_key
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from infra.config import GitHub, Settings


class DeliveryStack(EnvironmentStack):
    """Three roles: one deploys, one checks what serves, one detects drift of the stacks.

    The first can only assume the roles of the CDK's bootstrap and the second; the third reads configurations.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, github: GitHub) -> None:
        super().__init__(
            scope, id_, settings=settings, description="tumor-detector: what GitHub's workflows may do here"
        )
        self._qualifier = settings.bootstrap_qualifier
        environment = settings.environment
        access = GitHubAccess(
            self, "GitHub", repository=github.repository, provider_exists=github.provider == "existing"
        )
        delivery = access.add_role(
            "DeliveryRole",
            github_environment=environment,
            may_assume=[
                *self._bootstrap_roles("deploy", "file-publishing", "lookup"),
                # In place of the bootstrap's own: our images go into our repository.
                self._role_arn(names.image_publishing_role(environment, region=settings.region)),
                self._role_arn(names.pruning_role(environment, region=settings.region)),
            ],
            description=f"deploys {environment}, through the CDK's roles",
            longest=LONGEST_DELIVERY,
        )
        watch = access.add_role(
            "WatchRole",
            github_environment=names.watch(environment),
            description=f"looks for drift in {environment}, and reads how its resources are configured",
        )
        allow_drift_detection(watch, environment)
        smoke = SmokeRole(
            self, "Smoke", settings=settings, key=environment_key(self, settings), trusts=delivery
        )
        allow(delivery, "sts:AssumeRole", on=smoke.role.role_arn)
        self.add_output("DeliveryRoleArn", delivery.role_arn, "AWS_ROLE_ARN of the GitHub environment")
        self.add_output("SmokeRoleArn", smoke.role.role_arn, "AWS_SMOKE_ROLE_ARN of the same")
        self.add_output(
            "WatchRoleArn", watch.role_arn, f"AWS_ROLE_ARN of the environment {names.watch(environment)}"
        )

    def _bootstrap_roles(self, *kinds: str) -> Sequence[str]:
        suffix = f"{self.account}-{self.region}"
        return [self._role_arn(f"cdk-{self._qualifier}-{kind}-role-{suffix}") for kind in kinds]

    def _role_arn(self, name: str) -> str:
        return self.format_arn(service="iam", region="", resource="role", resource_name=name)
