"""Prod in the emulator's account: its settings moved there, its commands, and GitHub jobs that deliver it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra import config, names
from infra.local_aws import ACCOUNT, HOST, gateway_url, local_environment
from tests.e2e.conftest import Clone, clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.config.environment import Auth

SETTINGS = config.load("prod")
REPOSITORY = "owner@12/tumor-detector@34"


@dataclass(frozen=True)
class Production(Clone):
    """A copy of the tree whose `prod` is in the emulator's account.

    Attributes
    ----------
    store
        MLflow's database, with the model to promote.
    """

    store: Path

    @property
    def environment(self) -> dict[str, str]:
        known = local_environment(clean_environment(), port=self.port, region=SETTINGS.region)
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{self.store}"}
        return {**known, **store, **self.credentials}

    @property
    def settings(self) -> Path:
        return self.root / "infra" / "environments" / "prod.toml"

    @property
    def record(self) -> Path:
        return self.root / "infra" / "releases" / "prod.json"

    def move(self, auth: Auth) -> None:
        """Write prod's settings as committed, except for the account, that it is local, and `auth`."""
        committed = (config.ENVIRONMENTS / "prod.toml").read_text()
        written, found = re.subn(r'^auth = ".*"$', f'auth = "{auth}"', committed, flags=re.MULTILINE)
        assert found == 1
        written = f'local = true\naccount = "{ACCOUNT}"\n{written}'
        if auth == "cognito":
            # Cognito accepts http for localhost only.
            page = self.gateway_url("{api_id}").replace(HOST, "localhost") + "/"
            address = f"http://localhost:{self.port}"
            written += f'\n[sign_in]\npages = ["{page}"]\nlocal_address = "{address}"\n'
        self.settings.write_text(written)

    def command(self, name: str, *arguments: str, typed: str | None = None) -> str:
        """Run `scripts/NAME --env prod`; return its standard error."""
        return self.run(f"scripts/{name}", "--env", "prod", *arguments, typed=typed).stderr

    def gateway_url(self, api_id: str) -> str:
        return gateway_url(api_id, names.STAGE_NAME, port=self.port)

    def deploy(self) -> str:
        """Deploy and return the gateway's URL."""
        self.command("deploy")
        return self.gateway_url(self.stack_outputs("gateway")["ApiId"])

    def stack_outputs(self, stack: str) -> dict[str, str]:
        return self.outputs(names.stack_prefix("prod") + stack)

    def api_key(self) -> str:
        key_id = self.stack_outputs("gateway")["ApiKeyId"]
        value: str = self.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
        return value


def assume_with_github_token(
    sts: Any,
    role: str,
    *,
    subject: str = f"{REPOSITORY}:environment:prod",
    audience: str = "sts.amazonaws.com",
    issuer: str = "token.actions.githubusercontent.com",
) -> dict[str, str]:
    """Assume a role as GitHub's action does, with a token about one job; return its keys as variables."""
    claims = {"iss": f"https://{issuer}", "aud": audience, "sub": f"repo:{subject}"}
    parts = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in ({}, claims, {}))
    assumed = sts.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="job", WebIdentityToken=".".join(parts)
    )
    return keys_of(assumed["Credentials"])


def keys_of(credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
