"""Roles for GitHub's workflows: short-lived, on the strength of GitHub's tokens, with no stored secret.

**Not verified on a real account**: the emulator enforces the roles' trust and permissions, but not the
signature of a token, which takes GitHub and AWS.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.policies import arn

# docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"

# A canary that bakes and waits for its old fleet takes longer than a session's default of an hour, as does a
# training.
LONGEST_DELIVERY = cdk.Duration.hours(3)


class GitHubAccess(Construct):
    """Roles for jobs of one repository, each bound to one of its GitHub environments.

    Parameters
    ----------
    repository
        As the tokens' subject names it: ``OWNER/NAME`` or ``OWNER@ID/NAME@ID``.
    provider_exists
        Whether the account already has a provider for GitHub's tokens: it can have only one.
    """

    def __init__(self, scope: Construct, id_: str, *, repository: str, provider_exists: bool) -> None:
        super().__init__(scope, id_)
        self._repository = repository
        if provider_exists:
            self._provider_arn = arn(self, "iam", "oidc-provider", ISSUER, region="")
            return
        # Without thumbprints: IAM then checks GitHub's certificate by its own list of authorities.
        self._provider_arn = iam.OidcProviderNative(
            self,
            "Provider",
            url=f"https://{ISSUER}",
            client_ids=[AUDIENCE],
            removal_policy=cdk.RemovalPolicy.DESTROY,
        ).oidc_provider_arn

    def add_role(
        self,
        id_: str,
        *,
        github_environment: str,
        description: str,
        longest: cdk.Duration | None = None,
    ) -> iam.Role:
        """Add a role that may do nothing until it is allowed to.

        Only jobs of `github_environment` get it, which GitHub starts by that environment's rules. A session
        lasts an hour, or up to `longest`.
        """
        # Both by equality: a pattern here would let other repositories or branches in.
        trusted = {
            f"{ISSUER}:aud": AUDIENCE,
            f"{ISSUER}:sub": f"repo:{self._repository}:environment:{github_environment}",
        }
        return iam.Role(
            self,
            id_,
            assumed_by=iam.WebIdentityPrincipal(self._provider_arn, {"StringEquals": trusted}),
            description=description,
            max_session_duration=longest,
        )
