"""The gateway stack: the public API, its Lambda and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.config.environment import SignIn
from infra.constructs.gateway.api import Api
from infra.constructs.gateway.firewall import Firewall
from infra.constructs.gateway.gateway_function import ID, GatewayFunction
from infra.constructs.gateway.users import Users
from infra.constructs.policies import bucket_name
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from pathlib import Path

    import aws_cdk as cdk

    from infra.config import Settings
    from infra.release import Release


class GatewayStack(EnvironmentStack):
    """API Gateway in front of one Lambda, which calls the endpoint by its name, and optionally a firewall.

    `card` is the served model's card, shown at /model-card.
    """

    def __init__(self, app: cdk.App, *, settings: Settings, release: Release, card: Path) -> None:
        super().__init__(app, "gateway", settings=settings, description="the public API and its page")
        key = self.put_logs_under_key(settings)
        gateway = GatewayFunction(self, ID, settings=settings, release=release, card=card)
        if settings.feedback or settings.asynchronous:
            gateway.check_request_ids(key=key)
        if settings.feedback:
            gateway.take_labels(bucket_name(self, settings, "labels"))
        if settings.asynchronous:
            gateway.answer_later(bucket_name(self, settings, "async"))
        users = None
        if settings.auth == "cognito":
            domain = names.sign_in_domain(settings.environment, account=self.account)
            users = Users(self, "Users", domain=domain, retain=settings.retain_data)
        api = Api(self, "Api", settings=settings, handler=gateway.function, users=users)
        if users:
            self._add_sign_in(settings.sign_in or SignIn(), users=users, api=api, gateway=gateway)
        if settings.firewall:
            Firewall(
                self,
                "Firewall",
                stage_arn=api.stage_arn,
                requests_per_five_minutes=settings.firewall.requests_per_five_minutes,
                log_retention_days=settings.log_retention_days,
            )
        self.add_output("Url", api.url, "Open it in a browser")
        self.add_output("ApiId", api.api_id, "API id, part of the URL on the emulator")
        self.add_output("LogGroupName", gateway.log_group.log_group_name, "Holds one line a request")
        self.add_output("StageName", names.STAGE_NAME, "The stage in that URL")
        if api.key_id:
            self.add_output("ApiKeyId", api.key_id, "Id of the key for x-api-key; read its value from AWS")
        if settings.auth == "iam":
            self.add_output("PredictArn", api.predict_arn, "ARN on which callers need execute-api:Invoke")
            if settings.feedback:
                self.add_output("LabelArn", api.label_arn, "The same for those who label predictions")

    def _add_sign_in(self, sign_in: SignIn, *, users: Users, api: Api, gateway: GatewayFunction) -> None:
        further = [address.format(api_id=api.api_id) for address in sign_in.pages]
        client_id = users.add_page(addresses=[api.page, *further])
        address = sign_in.local_address or users.address
        gateway.set_sign_in(address=address, client_id=client_id, scope=users.scope)
        self.add_output("UserPoolId", users.pool.user_pool_id, "The user pool: invite people here")
        self.add_output("SignInAddress", address, "Where people sign in")
        self.add_output("SignInClientId", client_id, "The page's client id there; no secret")
