"""The delivery stack: what the project's GitHub workflows may do in an environment's account.

A person deploys it once; then the workflows deliver, with no AWS key stored at GitHub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.delivery.drift_role import allow_drift_detection
from infra.constructs.delivery.github_access import LONGEST_DELIVERY, GitHubAccess
from infra.constructs.delivery.job_roles import add_smoke_role, allow_monitoring, allow_retraining
from infra.constructs.policies import allow, arn
from infra.constructs.storage.environment_key import environment_key
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    import aws_cdk as cdk

    from infra.config import Settings
    from infra.config.environment import GitHub


class DeliveryStack(EnvironmentStack):
    """Five roles: one deploys, one checks what serves, two detect drift of stacks and answers, one retrains.

    The first can only assume the roles of the CDK's bootstrap and the second; the third reads configurations,
    the fourth what was answered, the fifth what was labelled, and it adds artifacts.
    """

    def __init__(self, app: cdk.App, *, settings: Settings, github: GitHub) -> None:
        super().__init__(
            app, "delivery", settings=settings, description="what GitHub's workflows may do here"
        )
        environment = settings.environment
        access = GitHubAccess(
            self, "GitHub", repository=github.repository, provider_exists=github.provider == "existing"
        )
        delivery = access.add_role(
            "DeliveryRole",
            github_environment=environment,
            description=f"deploys {environment}, through the CDK's roles",
            longest=LONGEST_DELIVERY,
        )
        watch = access.add_role(
            "WatchRole",
            github_environment=names.watch(environment),
            description=f"looks for drift in {environment}, and reads how its resources are configured",
        )
        allow_drift_detection(watch, environment)
        key = environment_key(self, settings)
        monitor = access.add_role(
            "MonitorRole",
            github_environment=names.watch(environment),
            description=f"compares what {environment} answers with the training",
        )
        allow_monitoring(monitor, settings, key=key)
        retrain = access.add_role(
            "RetrainRole",
            github_environment=names.retraining(environment),
            description=f"trains with what {environment} served, and adds model artifacts",
            longest=LONGEST_DELIVERY,
        )
        allow_retraining(retrain, settings, key=key)
        smoke = add_smoke_role(self, settings, key=key, trusts=delivery)
        prefix, suffix = f"cdk-{settings.bootstrap_qualifier}", f"role-{self.account}-{self.region}"
        assumed = [
            *(f"{prefix}-{kind}-{suffix}" for kind in ("deploy", "file-publishing", "lookup")),
            # In place of the bootstrap's own: our images go into our repository.
            names.role(environment, "image-publishing", region=settings.region),
            names.role(environment, "pruning", region=settings.region),
        ]
        roles = [arn(self, "iam", "role", name, region="") for name in assumed]
        allow(delivery, "sts:AssumeRole", on=[*roles, smoke.role_arn])
        for name, role, variable in (
            ("Delivery", delivery, "AWS_ROLE_ARN of the GitHub environment"),
            ("Smoke", smoke, "AWS_SMOKE_ROLE_ARN of the same"),
            ("Watch", watch, f"AWS_ROLE_ARN of the environment {names.watch(environment)}"),
            ("Monitor", monitor, "AWS_MONITOR_ROLE_ARN of the same"),
            ("Retrain", retrain, f"AWS_ROLE_ARN of the environment {names.retraining(environment)}"),
        ):
            self.add_output(f"{name}RoleArn", role.role_arn, variable)
