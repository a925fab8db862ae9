"""The gateway stack: the public API, its Lambda and the page. It knows the endpoint by name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.api import Api
from infra.constructs.firewall import Firewall
from infra.constructs.front import Front
from infra.constructs.users import Users
from infra.settings.access import SignIn
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from pathlib import Path

    from constructs import Construct

    from infra.config import Settings
    from infra.release import Release


class GatewayStack(EnvironmentStack):
    """API Gateway in front of one Lambda, which asks the endpoint; before it a firewall, where it has one.

    Parameters
    ----------
    gateway
        The folder with the Lambda's code and the page.
    card
        The served model's card, shown at /model-card.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        release: Release,
        gateway: Path,
        card: Path,
    ) -> None:
        super().__init__(
            scope, id_, settings=settings, description="tumor-detector: the public API and its page"
        )
        self.put_logs_under_key(settings)
        front = Front(
            self,
            "Front",
            name=names.function(settings.environment),
            code=gateway,
            card=card,
            release=release,
            endpoint_name=names.endpoint(settings.environment, mode=settings.hosting.mode),
            auth=settings.auth,
            allowed_origin=settings.allowed_origin,
            log_retention_days=settings.log_retention_days,
        )
        users = self._build_users(settings)
        api = Api(
            self,
            "Api",
            name=names.api(settings.environment),
            handler=front.function,
            auth=settings.auth,
            users=users,
            firewalled=settings.firewall is not None,
            throttle=settings.throttle,
            allowed_origin=settings.allowed_origin,
            log_retention_days=settings.log_retention_days,
            retain_account_role=settings.retain_data,
        )
        if users:
            self._let_people_sign_in(settings.sign_in or SignIn(), users=users, page=api, front=front)
        if settings.firewall:
            Firewall(
                self,
                "Firewall",
                stage_arn=api.stage_arn,
                requests_per_five_minutes=settings.firewall.requests_per_five_minutes,
                log_retention_days=settings.log_retention_days,
            )
        self.add_output("Url", api.url, "Open it in a browser")
        self.add_output("ApiId", api.api_id, "For the laptop's form of the address")
        self.add_output("StageName", names.STAGE_NAME, "The same")
        if api.key_id:
            self.add_output(
                "ApiKeyId", api.key_id, "Of the key to send as x-api-key; read its value from AWS"
            )
        if settings.auth == "iam":
            self.add_output("PredictArn", api.predict_arn, "What a caller's policy must let it Invoke")

    def _build_users(self, settings: Settings) -> Users | None:
        if settings.auth != "cognito":
            return None
        domain = names.sign_in_domain(settings.environment, account=self.account)
        return Users(self, "Users", domain=domain, retain=settings.retain_data)

    def _let_people_sign_in(self, sign_in: SignIn, *, users: Users, page: Api, front: Front) -> None:
        further = [address.format(api_id=page.api_id) for address in sign_in.pages]
        client_id = users.add_page(addresses=[page.page, *further])
        address = sign_in.laptop_address or users.address
        front.tell_sign_in(address=address, client_id=client_id, scope=users.scope)
        self.add_output("UserPoolId", users.pool.user_pool_id, "Of who may sign in: invite them here")
        self.add_output("SignInAddress", address, "Where they sign in")
        self.add_output("SignInClientId", client_id, "What the page is called there; no secret")
