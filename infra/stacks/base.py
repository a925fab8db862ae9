"""What every stack of an environment has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.storage.environment_key import LogsUnderKey, environment_key

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from infra.config import Settings


class EnvironmentStack(cdk.Stack):
    """A part of an environment, in its account and region, with its protection and its tags.

    Without an account in the settings the template names none, and the deployer's is used.
    """

    def __init__(
        self,
        app: cdk.App,
        part: names.Part,
        *,
        settings: Settings,
        description: str,
        synthesizer: cdk.IStackSynthesizer | None = None,
    ) -> None:
        super().__init__(
            app,
            names.stack(settings.environment, part),
            description=f"{names.PROJECT}: {description}",
            env=cdk.Environment(account=settings.stack_account, region=settings.region),
            synthesizer=synthesizer or cdk.DefaultStackSynthesizer(qualifier=settings.bootstrap_qualifier),
            tags={
                "project": names.PROJECT,
                "environment": settings.environment,
                "deployment": names.deployment(settings.environment),  # a budget filters by one tag
            },
            termination_protection=settings.termination_protection,
        )

    def put_logs_under_key(self, settings: Settings) -> kms.IKey | None:
        """Encrypt every log group of this stack under the environment's key; return it where there is one."""
        key = environment_key(self, settings)
        if key:
            cdk.Aspects.of(self).add(LogsUnderKey(key))
        return key

    def add_output(self, id_: str, value: str, description: str) -> None:
        """Print `value` after a deploy, for scripts and people."""
        cdk.CfnOutput(self, id_, value=value, description=description)
