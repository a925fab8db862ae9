"""Prod in a laptop's account: its file moved there, its commands, and jobs of GitHub that deliver it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infra import config, names
from infra.local import ACCOUNT, client_environment, gateway_url
from infra.settings.access import SignIn
from scripts.delivery.aws import Keys
from tests.e2e.conftest import Clone, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from infra.settings.access import Auth

SETTINGS = config.load("prod")
STACKS = ("registry", "endpoint", "gateway", "sight")
REPOSITORY = "owner/tumor-detector"


@dataclass(frozen=True)
class Production(Clone):
    """A copy of the tree whose `prod` is in a laptop's account."""

    log: Path
    store: Path

    @property
    def environment(self) -> dict[str, str]:
        known = client_environment(port=self.port, region=SETTINGS.region)
        return clean_environment() | known | {"MLFLOW_TRACKING_URI": f"sqlite:///{self.store}"}

    def move(self, auth: Auth) -> None:
        """Write prod's file as it is in git, but for what makes it the laptop's, and for who is let in."""
        folder = self.root / "infra" / "environments"
        committed = (config.ENVIRONMENTS / "prod.toml").read_text()
        (folder / "prod.toml").write_text(moved(committed, auth, port=self.port))
        sign_in = None
        if auth == "cognito":
            page = gateway_url("{api_id}", names.STAGE_NAME, port=self.port)
            sign_in = SignIn(pages=(f"{page}/",), laptop_address=f"http://localhost:{self.port}")
        differing = replace(SETTINGS, local=True, account=ACCOUNT, auth=auth, sign_in=sign_in)
        assert config.load("prod", folder=folder) == differing

    def deploy(self) -> str:
        """Deploy and return the gateway's URL."""
        self.run("scripts/deploy", "--env", "prod")
        outputs = self.outputs("gateway")
        return gateway_url(outputs["ApiId"], outputs["StageName"], port=self.port)

    def outputs(self, stack: str) -> dict[str, str]:
        name = names.stack_prefix("prod") + stack
        [described] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    def api_key(self) -> str:
        key_id = self.outputs("gateway")["ApiKeyId"]
        value: str = self.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
        return value

    def resources(self, kind: str) -> set[str]:
        """Return the physical ids of all deployed resources of a type."""
        return {name for stack in STACKS for each, name in self._resources(stack) if each == kind}

    def kinds(self) -> set[str]:
        return {kind for stack in STACKS for kind, _ in self._resources(stack)}

    def _resources(self, stack: str) -> Iterator[tuple[str, str]]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=names.stack_prefix("prod") + stack):
            for each in page["StackResourceSummaries"]:
                yield each["ResourceType"], each["PhysicalResourceId"]

    def stacks(self) -> set[str]:
        listed = self.client("cloudformation").list_stacks()["StackSummaries"]
        return {each["StackName"] for each in listed if each["StackStatus"] != "DELETE_COMPLETE"}


@dataclass(frozen=True)
class Workflow(Production):
    """The same copy, whose commands have what a job of GitHub's has: a role's keys, and a role's name."""

    given: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.given}


def moved(committed: str, auth: Auth, *, port: int) -> str:
    """Return prod's file for a laptop's account, marked as such: drawings alone trained the model here."""
    written, found = re.subn(r'^auth = ".*"$', f'auth = "{auth}"', committed, flags=re.MULTILINE)
    assert found == 1
    written = f'local = true\naccount = "{ACCOUNT}"\n{written}'
    if auth != "cognito":
        return written
    page = gateway_url("{api_id}", names.STAGE_NAME, port=port)
    return f'{written}\n[sign_in]\npages = ["{page}/"]\nlaptop_address = "http://localhost:{port}"\n'


def take(
    prod: Production,
    role: str,
    *,
    subject: str = f"{REPOSITORY}:environment:prod",
    audience: str = "sts.amazonaws.com",
    issuer: str = "token.actions.githubusercontent.com",
) -> Mapping[str, str]:
    """Take a role as GitHub's action does, with a token of GitHub's about one job; return its keys."""
    claims = {"iss": f"https://{issuer}", "aud": audience, "sub": f"repo:{subject}"}
    parts = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in ({}, claims, {}))
    taken = prod.client("sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="job", WebIdentityToken=".".join(parts)
    )["Credentials"]
    return keys_of(taken)


def keys_of(taken: Mapping[str, str]) -> Mapping[str, str]:
    return Keys(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"]).environment


def working(prod: Production, given: Mapping[str, str]) -> Workflow:
    return Workflow(prod.root, prod.port, prod.log, prod.store, given)
