"""Who GitHub's workflows may become: short-lived roles, by GitHub's own word and without any stored secret.

**Not verified on a real account**: a laptop's AWS enforces whom the roles trust and what they may do, and
believes what a token says; its signature needs GitHub and AWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

# docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"

# A canary that bakes and waits for its old fleet takes longer than the hour that sessions have by default.
LONGEST_DELIVERY = cdk.Duration.hours(3)


class GitHubAccess(Construct):
    """Roles for jobs of one repository, each bound to one of its GitHub environments.

    Parameters
    ----------
    repository
        ``OWNER/NAME`` on GitHub.
    provider_exists
        Whether the account knows GitHub's tokens already: it takes one such provider only.
    """

    def __init__(self, scope: Construct, id_: str, *, repository: str, provider_exists: bool) -> None:
        super().__init__(scope, id_)
        self._repository = repository
        self._provider_arn = self._known_provider() if provider_exists else self._add_provider()

    def add_role(
        self,
        id_: str,
        *,
        github_environment: str,
        may_become: Sequence[str],
        description: str,
        longest: cdk.Duration | None = None,
    ) -> iam.Role:
        """Add a role for the jobs in one GitHub environment, which can do nothing but become other roles.

        Parameters
        ----------
        github_environment
            The environment that a job must name: GitHub lets it in only by that environment's rules.
        may_become
            ARNs of the roles that it may assume.
        longest
            How long a session may last; an hour without it.
        """
        # Both by equality: a pattern here would let other repositories or branches in.
        trusted = {
            f"{ISSUER}:aud": AUDIENCE,
            f"{ISSUER}:sub": f"repo:{self._repository}:environment:{github_environment}",
        }
        role = iam.Role(
            self,
            id_,
            assumed_by=iam.WebIdentityPrincipal(self._provider_arn, {"StringEquals": trusted}),
            description=description,
            max_session_duration=longest,
        )
        allow_to_become(role, may_become)
        return role

    def _add_provider(self) -> str:
        # Without thumbprints: IAM then checks GitHub's certificate by its own list of authorities.
        provider = iam.OidcProviderNative(
            self,
            "Provider",
            url=f"https://{ISSUER}",
            client_ids=[AUDIENCE],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        return provider.oidc_provider_arn

    def _known_provider(self) -> str:
        return cdk.Stack.of(self).format_arn(
            service="iam", region="", resource="oidc-provider", resource_name=ISSUER
        )


def allow_to_become(role: iam.Role, arns: Sequence[str]) -> None:
    """Let `role` assume the roles with these ARNs."""
    role.add_to_policy(iam.PolicyStatement(actions=["sts:AssumeRole"], resources=list(arns)))
