"""The Lambda behind the API: it serves the page and asks the endpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.acknowledge import acknowledge_wildcard
from infra.constructs.logs import log_group

if TYPE_CHECKING:
    from infra.config import RetentionDays
    from infra.release import Release
    from infra.settings.access import Auth

TIMEOUT = cdk.Duration.seconds(28)  # API Gateway waits for 29 s
# CPU comes with memory, a core at 1,769 MB, and is what a request wants: scripts/bench --lambda measured
# 17 ms of a core and 58 MB for an image of 4 MiB, 0.2 s of a core for a cold import (on x86-64, not on AWS).
MEMORY_MB = 1024
CARD_FILE = "model-card.md"


class Front(Construct):
    """A function of plain files: the code, the page, and the served model's card.

    Attributes
    ----------
    function
        The Lambda function. It may invoke and describe the one endpoint, log, and trace; nothing else.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        code: Path,
        card: Path,
        release: Release,
        endpoint_name: str,
        auth: Auth,
        allowed_origin: str | None,
        log_retention_days: RetentionDays,
    ) -> None:
        super().__init__(scope, id_)
        logs = log_group(self, "Logs", retention_days=log_retention_days)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(role)
        self._allow_endpoint(role, endpoint_name)
        environment = {"ENDPOINT_NAME": endpoint_name, "MODEL": _model(release), "AUTH": auth}
        if allowed_origin:
            environment["ALLOWED_ORIGIN"] = allowed_origin
        with tempfile.TemporaryDirectory() as folder:  # the CDK copies it before this ends
            self.function = lambda_.Function(
                self,
                "Function",
                function_name=name,
                runtime=lambda_.Runtime.PYTHON_3_14,
                architecture=lambda_.Architecture.ARM_64,
                handler="handler.handle",
                code=lambda_.Code.from_asset(str(_staged(code, card, Path(folder)))),
                environment=environment,
                memory_size=MEMORY_MB,
                timeout=TIMEOUT,
                role=role,
                log_group=logs,
                tracing=lambda_.Tracing.ACTIVE,
            )
        acknowledge_wildcard(role, "*", reason="X-Ray's two actions for sending traces take no resource.")

    def tell_sign_in(self, *, address: str, client_id: str, scope: str) -> None:
        """Tell the page where people sign in, what it is called there, and what to ask for.

        It is told late: the client is made for the page's address, which is that of the API before this.
        """
        sign_in = {"address": address, "client_id": client_id, "scope": scope}
        self.function.add_environment("SIGN_IN", cdk.Stack.of(self).to_json_string(sign_in))

    def _allow_endpoint(self, role: iam.Role, endpoint_name: str) -> None:
        arn = cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="endpoint", resource_name=endpoint_name
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint"], resources=[arn]
            )
        )


def _staged(code: Path, card: Path, folder: Path) -> Path:
    """Lay the code and the model card side by side, as the handler expects them."""
    staged = folder / "code"
    shutil.copytree(code, staged, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(card, staged / CARD_FILE)
    return staged


def _model(release: Release) -> str:
    """Return what /health and the page tell of the model."""
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
