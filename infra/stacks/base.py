"""What every stack of an environment has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names

if TYPE_CHECKING:
    from constructs import Construct

    from infra.config import Settings


class EnvironmentStack(cdk.Stack):
    """A stack in an environment's account and region, with its protection and tags.

    Without an account in the settings the template names none, and whoever deploys it brings one.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        description: str,
        synthesizer: cdk.IStackSynthesizer | None = None,
    ) -> None:
        super().__init__(
            scope,
            id_,
            description=description,
            env=cdk.Environment(account=settings.account, region=settings.region),
            synthesizer=synthesizer,
            tags={"project": names.PROJECT, "environment": settings.environment},
            termination_protection=settings.termination_protection,
        )

    def add_output(self, id_: str, value: str, description: str) -> None:
        """Print `value` after a deploy, for scripts and people."""
        cdk.CfnOutput(self, id_, value=value, description=description)
