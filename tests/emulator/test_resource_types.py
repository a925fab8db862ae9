"""Resource types that the emulator adds to ministack's CloudFormation: created, changed and deleted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra.emulator.ministack_patches.resource_types import STUBS
from infra.local_aws import ACCOUNT
from tests.emulator.deployment import resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.cloud import Cloud

STAGE = "arn:aws:apigateway:us-east-1::/restapis/a1b2c3/stages/v1"
VISIBILITY = {"CloudWatchMetricsEnabled": False, "MetricName": "m", "SampledRequestsEnabled": False}
ISSUER = "tokens.example.org"
TRACKING = {
    "TargetValue": 1,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
STUB_PROPERTIES: dict[str, dict[str, Any]] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": {
        "PolicyName": "any",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": "endpoint/any/variant/champion|sagemaker:variant:DesiredInstanceCount|sagemaker",
        "TargetTrackingScalingPolicyConfiguration": TRACKING,
    },
}


def template(*, firewall: str = "First", client: str = "sts.amazonaws.com") -> dict[str, Any]:
    """Two firewalls, the association of one of them with a stage, an identity provider, and every stub."""

    def acl(name: str) -> dict[str, Any]:
        settings = {"DefaultAction": {"Allow": {}}, "VisibilityConfig": VISIBILITY}
        return resource("WAFv2::WebACL", Name=name, Scope="REGIONAL", **settings)

    association = {"ResourceArn": STAGE, "WebACLArn": {"Fn::GetAtt": [firewall, "Arn"]}}
    resources = {
        "First": acl("first"),
        "Second": acl("second"),
        "Association": resource("WAFv2::WebACLAssociation", **association),
        "Provider": resource("IAM::OIDCProvider", Url=f"https://{ISSUER}", ClientIdList=[client]),
        **{
            kind.rpartition(":")[2]: resource(kind.removeprefix("AWS::"), **STUB_PROPERTIES.get(kind, {}))
            for kind in STUBS
        },
    }
    return {"Resources": resources}


@pytest.fixture
def stack(cloud: Cloud) -> Iterator[str]:
    """The name of a stack that is deleted at the end."""
    name = f"types-{uuid.uuid4().hex[:8]}"
    yield name
    cloud.delete_stack(name)


def test_changes_arrive_in_the_services_and_go_with_the_stack(cloud: Cloud, stack: str) -> None:
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


def test_a_stub_has_its_name_and_nothing_else(cloud: Cloud, stack: str) -> None:
    cloud.create_stack(stack, template())
    found = cloud.stacks.describe_stack_resources(StackName=stack)["StackResources"]
    ids = {each["ResourceType"]: each["PhysicalResourceId"] for each in found}
    assert all(ids[kind].startswith(f"{stack}-{kind.rpartition(':')[2]}") for kind in STUBS)
