"""What ministack's services know and its CloudFormation does not is entered there, changed, taken out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.local.cloud import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.cloud import Cloud

STACK = "declared"
STAGE = "arn:aws:apigateway:us-east-1::/restapis/a1b2c3/stages/v1"
VISIBILITY = {"CloudWatchMetricsEnabled": False, "MetricName": "m", "SampledRequestsEnabled": False}


@pytest.fixture
def stack(cloud: Cloud) -> Iterator[Stack]:
    made = Stack(cloud)
    yield made
    made.delete()


class Stack:
    """A budget, two firewalls and which of them stands before a stage, and who vouches for callers."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.firewall = cloud.client("wafv2")

    def create(self, template: str) -> None:
        self.cloud.stacks.create_stack(StackName=STACK, TemplateBody=template)
        self.cloud.stacks.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig=AT_ONCE)

    def update(self, template: str) -> None:
        self.cloud.stacks.update_stack(StackName=STACK, TemplateBody=template)
        self.cloud.stacks.get_waiter("stack_update_complete").wait(StackName=STACK, WaiterConfig=AT_ONCE)

    def delete(self) -> None:
        self.cloud.stacks.delete_stack(StackName=STACK)
        self.cloud.stacks.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=AT_ONCE)

    def budgets(self) -> dict[str, str]:
        """Return the limit of each budget by its name."""
        found = self.cloud.client("budgets").describe_budgets(AccountId=self.cloud.aws.account)["Budgets"]
        return {each["BudgetName"]: each["BudgetLimit"]["Amount"] for each in found}

    def notified(self, budget: str) -> list[float]:
        """Return the thresholds at which somebody is told."""
        asked = {"AccountId": self.cloud.aws.account, "BudgetName": budget}
        found = self.cloud.client("budgets").describe_notifications_for_budget(**asked)["Notifications"]
        return [each["Threshold"] for each in found]

    def before_the_stage(self) -> str:
        """Return the name of the firewall there."""
        name: str = self.firewall.get_web_acl_for_resource(ResourceArn=STAGE)["WebACL"]["Name"]
        return name

    def providers(self) -> dict[str, list[str]]:
        """Return for whom each provider of identities vouches, by its ARN."""
        iam = self.cloud.client("iam")
        arns = [each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
        return {
            arn: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"]
            for arn in arns
        }


def template(
    *,
    limit: int = 20,
    threshold: int = 80,
    firewall: str = "First",
    budget_type: str = "COST",
    client: str = "sts.amazonaws.com",
) -> str:
    notification = {
        "NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": threshold,
    }  # fmt: skip
    budget = {
        "Budget": {
            "BudgetType": budget_type, "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": limit, "Unit": "USD"},
        },
        "NotificationsWithSubscribers": [
            {
                "Notification": notification,
                "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "ada@example.org"}],
            }
        ],
    }  # fmt: skip
    acl = {"Scope": "REGIONAL", "DefaultAction": {"Allow": {}}, "VisibilityConfig": VISIBILITY}
    association = {"ResourceArn": STAGE, "WebACLArn": {"Fn::GetAtt": [firewall, "Arn"]}}
    resources = {
        "Budget": ("Budgets::Budget", budget),
        "First": ("WAFv2::WebACL", acl | {"Name": "first"}),
        "Second": ("WAFv2::WebACL", acl | {"Name": "second"}),
        "Provider": ("IAM::OIDCProvider", {"Url": "https://tokens.example.org", "ClientIdList": [client]}),
        "Association": ("WAFv2::WebACLAssociation", association),
    }
    described = {
        name: {"Type": f"AWS::{kind}", "Properties": properties}
        for name, (kind, properties) in resources.items()
    }
    return json.dumps({"Resources": described})


def test_a_budget_is_changed_in_place_and_goes_with_its_stack(stack: Stack) -> None:
    stack.create(template())
    [(name, limit)] = stack.budgets().items()
    assert (limit, stack.notified(name)) == ("20", [80])

    stack.update(template(limit=30, threshold=90))
    assert stack.budgets() == {name: "30"}
    assert stack.notified(name) == [90]

    stack.delete()
    assert stack.budgets() == {}


def test_another_firewall_takes_the_place_of_the_first(stack: Stack) -> None:
    stack.create(template())
    assert stack.before_the_stage() == "first"
    stack.update(template(firewall="Second"))
    assert stack.before_the_stage() == "second"


def test_no_firewall_is_left_before_the_stage_of_a_stack_that_is_gone(stack: Stack) -> None:
    stack.create(template())
    stack.delete()
    with pytest.raises(ClientError, match="WAFNonexistentItemException"):
        stack.before_the_stage()


def test_a_provider_of_identities_is_changed_in_place_and_goes_with_its_stack(stack: Stack) -> None:
    arn = f"arn:aws:iam::{stack.cloud.aws.account}:oidc-provider/tokens.example.org"
    stack.create(template())
    assert stack.providers() == {arn: ["sts.amazonaws.com"]}
    stack.update(template(client="another"))
    assert stack.providers() == {arn: ["another"]}
    stack.delete()
    assert stack.providers() == {}


def test_a_second_provider_of_the_same_identities_fails_the_stack_with_the_reason(stack: Stack) -> None:
    iam = stack.cloud.client("iam")
    first = iam.create_open_id_connect_provider(Url="https://tokens.example.org", ClientIDList=["first"])
    with pytest.raises(WaiterError):
        stack.create(template())
    events = stack.cloud.stacks.describe_stack_events(StackName=STACK)["StackEvents"]
    reasons = [each.get("ResourceStatusReason", "") for each in events]
    assert any("already exists" in reason and "<" not in reason for reason in reasons)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=first["OpenIDConnectProviderArn"])


def test_what_the_service_refuses_fails_the_stack_with_its_reason(stack: Stack) -> None:
    with pytest.raises(WaiterError):
        stack.create(template(budget_type="SAVINGS"))
    events = stack.cloud.stacks.describe_stack_events(StackName=STACK)["StackEvents"]
    assert any("BudgetType must be one of" in each.get("ResourceStatusReason", "") for each in events)
    assert stack.budgets() == {}
