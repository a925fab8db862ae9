"""Resource types that the emulator adds to ministack's CloudFormation: created, changed and deleted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra.local_aws import ACCOUNT
from tests.emulator.deployment import resource

if TYPE_CHECKING:
    from tests.emulator.cloud import Cloud

STAGE = "arn:aws:apigateway:us-east-1::/restapis/a1b2c3/stages/v1"
VISIBILITY = {"CloudWatchMetricsEnabled": False, "MetricName": "m", "SampledRequestsEnabled": False}
ISSUER = "tokens.example.org"


def template(*, firewall: str = "First", client: str = "sts.amazonaws.com") -> dict[str, Any]:
    """Two firewalls, the association of one of them with a stage, and an identity provider."""

    def acl(name: str) -> dict[str, Any]:
        settings = {"DefaultAction": {"Allow": {}}, "VisibilityConfig": VISIBILITY}
        return resource("WAFv2::WebACL", Name=name, Scope="REGIONAL", **settings)

    association = {"ResourceArn": STAGE, "WebACLArn": {"Fn::GetAtt": [firewall, "Arn"]}}
    resources = {
        "First": acl("first"),
        "Second": acl("second"),
        "Association": resource("WAFv2::WebACLAssociation", **association),
        "Provider": resource("IAM::OIDCProvider", Url=f"https://{ISSUER}", ClientIdList=[client]),
    }
    return {"Resources": resources}


def test_changes_arrive_in_the_services_and_go_with_the_stack(cloud: Cloud) -> None:
    stack = f"types-{uuid.uuid4().hex[:8]}"
    iam, waf = cloud.client("iam"), cloud.client("wafv2")
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"

    def assert_deployed(firewall: str, client: str) -> None:
        assert waf.get_web_acl_for_resource(ResourceArn=STAGE)["WebACL"]["Name"] == firewall
        assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == [client]

    cloud.create_stack(stack, template())
    assert_deployed("first", "sts.amazonaws.com")
    cloud.update_stack(stack, template(firewall="Second", client="another"))
    assert_deployed("second", "another")

    cloud.delete_stack(stack)
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
    with pytest.raises(ClientError, match="WAFNonexistentItemException"):
        waf.get_web_acl_for_resource(ResourceArn=STAGE)
