"""The gateway stack: the public API, its Lambda and the page. It knows the endpoint by name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.api import Api
from infra.constructs.front import Front
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from pathlib import Path

    from constructs import Construct

    from infra.config import Settings
    from infra.release import Release


class GatewayStack(EnvironmentStack):
    """API Gateway in front of one Lambda, which asks the endpoint.

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
        front = Front(
            self,
            "Front",
            code=gateway,
            card=card,
            release=release,
            endpoint_name=names.endpoint(settings.environment, mode=settings.hosting.mode),
            allowed_origin=settings.allowed_origin,
            log_retention_days=settings.log_retention_days,
        )
        api = Api(
            self,
            "Api",
            name=f"{names.PROJECT}-{settings.environment}",
            handler=front.function,
            auth=settings.auth,
            throttle=settings.throttle,
            allowed_origin=settings.allowed_origin,
            log_retention_days=settings.log_retention_days,
            retain_account_role=settings.retain_data,
        )
        self.add_output("Url", api.url, "Open it in a browser")
        self.add_output("ApiId", api.api_id, "For the laptop's form of the address")
        self.add_output("StageName", names.STAGE_NAME, "The same")
        if api.key_id:
            self.add_output(
                "ApiKeyId", api.key_id, "Of the key to send as x-api-key; read its value from AWS"
            )
