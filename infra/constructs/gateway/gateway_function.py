"""The Lambda behind the API: it serves the page and forwards images to the endpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from infra import names
from infra.constructs.policies import acknowledge_wildcard, allow, arn
from infra.constructs.python_function import PythonFunction
from infra.site.render import render_site

if TYPE_CHECKING:
    from pathlib import Path

    from constructs import Construct

    from infra.config import Settings
    from infra.release import Release

# Kept: a new logical id would make a second function of the same name, which Lambda refuses.
ID = "Front"
TIMEOUT = cdk.Duration.seconds(28)  # API Gateway gives up after 29 s
# CPU comes with memory, one core at 1,769 MB, and is what limits a request: 17 ms of a core and 58 MB for an
# image of 4 MiB, and 0.2 s of a core for a cold import (measured at ca49d7b, on x86-64, not on AWS).
MEMORY_MB = 1024


class GatewayFunction(PythonFunction):
    """The gateway's code and the site that it serves: the page, the documentation and the model card.

    It may call and describe the environment's endpoint.
    """

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, release: Release, card: Path
    ) -> None:
        environment = settings.environment
        variables = {
            "ENDPOINT_NAME": settings.endpoint_name,
            "MODEL": _model(release),
            "AUTH": settings.auth,
        }
        if settings.allowed_origin:
            variables["ALLOWED_ORIGIN"] = settings.allowed_origin
        site = render_site(auth=settings.auth, region=settings.region, card=card.read_text(encoding="utf-8"))
        super().__init__(
            scope,
            id_,
            package="gateway",
            extra_files={f"site/{file}": text for file, text in site.items()},
            name=names.function(environment),
            environment=variables,
            memory_mb=MEMORY_MB,
            timeout=TIMEOUT,
            log_retention_days=settings.log_retention_days,
            tracing=lambda_.Tracing.ACTIVE,
        )
        acknowledge_wildcard(
            self.role, "*", reason="X-Ray's two actions for sending traces take no resource."
        )
        endpoints = [arn(self, "sagemaker", "endpoint", each) for each in names.endpoints(environment)]
        allow(self.role, "sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint", on=endpoints)

    def set_sign_in(self, *, address: str, client_id: str, scope: str) -> None:
        """Pass the page the sign-in address, its client id and the scope to request.

        The client can be declared only after the API, whose address it needs, and so after this function.
        """
        sign_in = {"address": address, "client_id": client_id, "scope": scope}
        self.function.add_environment("SIGN_IN", cdk.Stack.of(self).to_json_string(sign_in))


def _model(release: Release) -> str:
    """Return what /health and the page show of the model."""
    return json.dumps(
        {
            "name": release.model.name,
            "version": release.model.version,
            "sha256": release.model.sha256,
            "kind": release.dataset.kind,
            "gates_failed": release.gates_failed,
            **({"forced": release.forced} if release.forced else {}),
        }
    )
