"""Resource types that the emulator adds to ministack's CloudFormation: created, changed and deleted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from infra.local_aws import ACCOUNT
from tests.emulator.deployment import resource

if TYPE_CHECKING:
    from tests.emulator.cloud import Cloud

ISSUER = "tokens.example.org"


def template(client: str) -> dict[str, Any]:
    provider = resource("IAM::OIDCProvider", Url=f"https://{ISSUER}", ClientIdList=[client])
    return {"Resources": {"Provider": provider}}


def test_changes_of_an_identity_provider_arrive_in_iam_and_go_with_the_stack(cloud: Cloud) -> None:
    stack = f"types-{uuid.uuid4().hex[:8]}"
    iam = cloud.client("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"

    def clients() -> list[str]:
        found: list[str] = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"]
        return found

    cloud.create_stack(stack, template("sts.amazonaws.com"))
    assert clients() == ["sts.amazonaws.com"]
    cloud.update_stack(stack, template("another"))
    assert clients() == ["another"]

    cloud.delete_stack(stack)
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
