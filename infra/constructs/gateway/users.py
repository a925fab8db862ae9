"""The people who may request predictions: a Cognito user pool with its sign-in page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.constructs.policies import acknowledge
from infra.names import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

# A token is valid until it expires, even if its owner has signed out or was removed from the pool.
SIGNED_IN_FOR = cdk.Duration.hours(1)
INVITATION_LASTS = cdk.Duration.days(7)
PASSWORD_LENGTH = 12


class Users(Construct):
    """People are invited, not signed up, and set a second factor.

    Attributes
    ----------
    address
        The origin of the sign-in page.
    scope
        The scope that a token must have for predictions.
    """

    def __init__(self, scope: Construct, id_: str, *, domain: str, retain: bool) -> None:
        super().__init__(scope, id_)
        self.pool = self._build_pool(retain)
        self.address = self.pool.add_domain(
            "Domain", cognito_domain=cognito.CognitoDomainOptions(domain_prefix=domain)
        ).base_url()
        predict = cognito.ResourceServerScope(scope_name="predict", scope_description="Request predictions")
        server = self.pool.add_resource_server("Server", identifier=PROJECT, scopes=[predict])
        self._allowed = cognito.OAuthScope.resource_server(server, predict)
        self.scope = f"{PROJECT}/{predict.scope_name}"

    def add_page(self, *, addresses: Sequence[str]) -> str:
        """Let the page at these addresses sign people in; return its client id, which is no secret.

        Cognito compares addresses character by character: they end with a slash, as the page's own does.
        """
        client = self.pool.add_client(
            "Page",
            generate_secret=False,  # a page could not keep one; it uses PKCE
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[self._allowed],
                callback_urls=list(addresses),
                logout_urls=list(addresses),
            ),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
            access_token_validity=SIGNED_IN_FOR,
            id_token_validity=SIGNED_IN_FOR,
            refresh_token_validity=SIGNED_IN_FOR,  # the page does not use it
            enable_token_revocation=True,
            prevent_user_existence_errors=True,
        )
        return client.user_pool_client_id

    def _build_pool(self, retain: bool) -> cognito.UserPool:
        pool = cognito.UserPool(
            self,
            "Pool",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            mfa=cognito.Mfa.REQUIRED,
            mfa_second_factor=cognito.MfaSecondFactor(sms=False, otp=True),
            password_policy=cognito.PasswordPolicy(
                min_length=PASSWORD_LENGTH,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=INVITATION_LASTS,
            ),
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            deletion_protection=retain,
            removal_policy=cdk.RemovalPolicy.RETAIN if retain else cdk.RemovalPolicy.DESTROY,
        )
        for rule in ("COG3", "COG8"):
            reason = "Threat protection is billed per user; everybody is invited and has two factors."
            acknowledge(pool, f"AwsSolutions-{rule}", reason=reason)
        return pool
