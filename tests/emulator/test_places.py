"""A second region and a second environment of one account, and what AWS refuses there."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, WaiterError

from infra import config, names
from scripts.console import DeliveryError
from scripts.delivery.stacks import refuse_to_replace_log_role
from tests.emulator.cloud import Cloud
from tests.emulator.deployment import REGION, Deployment, EndpointStack, create_gateway, resource
from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, record_for, synthesize

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = "eu-west-1"
UNUSED = "eu-north-1"
STACKS = ("registry", "endpoint", "gateway", "monitoring")
LOCAL = config.load("local")


def deploy(cloud: Cloud, folder: Path, answer: str) -> Deployment:
    """Deploy the environment that has every optional part to a cloud's region."""
    folder.mkdir()
    written = (FIXTURE_ENVIRONMENTS / "full.toml").read_text().replace('"123456789012"', '"000000000000"')
    (folder / "full.toml").write_text(written.replace("eu-west-1", cloud.region))
    assembly = synthesize("full", folder / "out", release=record_for("full", folder), environments=folder)
    made = Deployment(cloud, assembly)
    made.deploy_all(*STACKS, answer=answer)
    return made


def refusal(cloud: Cloud, **resources: object) -> str:
    """Return why a stack of these resources fails."""
    name = f"refused-{uuid.uuid4().hex[:8]}"
    with pytest.raises(WaiterError):
        cloud.create_stack(name, {"Resources": resources})
    return cloud.reasons(name)


def test_a_second_environment_leaves_the_regions_log_role(bootstrapped: Cloud, tmp_path: Path) -> None:
    gateway = bootstrapped.client("apigateway")
    one, two = (replace(LOCAL, environment=name) for name in ("one", "two"))

    def set_role(arn: str) -> None:
        patch = {"op": "replace", "path": "/cloudwatchRoleArn", "value": arn}
        gateway.update_account(patchOperations=[patch])

    set_role("")
    # Given an environment whose stack has set the role, which deploys again without complaint
    refuse_to_replace_log_role(one)
    create_gateway(bootstrapped, names.stack("one", "gateway"), one, tmp_path / "one")
    refuse_to_replace_log_role(one)
    role = gateway.get_account()["cloudwatchRoleArn"]
    # When a second one would set another, Then its deploy is refused with what to write
    with pytest.raises(DeliveryError, match=r'api_log_role = "existing" in .*/two\.toml'):
        refuse_to_replace_log_role(two)
    # And with that it is deployed, and the role is the first one's
    existing = replace(two, api_log_role="existing")
    refuse_to_replace_log_role(existing)
    create_gateway(bootstrapped, names.stack("two", "gateway"), existing, tmp_path / "two")
    assert gateway.get_account()["cloudwatchRoleArn"] == role
    for name in ("two", "one"):
        bootstrapped.delete_stack(names.stack(name, "gateway"))
    # And the role of a deleted environment blocks no other
    set_role(role)
    refuse_to_replace_log_role(two)


def test_an_environment_is_deployed_to_a_second_region(bootstrapped: Cloud, tmp_path: Path) -> None:
    # Given an environment in one region, When it is deployed to another one of the account
    clouds = [Cloud(bootstrapped.aws, region) for region in (REGION, ELSEWHERE)]
    first, second = (deploy(cloud, tmp_path / cloud.region, cloud.region) for cloud in clouds)
    # Then each serves its own model, under the same name
    assert first.outputs("endpoint")["EndpointName"] == second.outputs("endpoint")["EndpointName"]
    for made in (first, second):
        assert made.cloud.invoke(made.outputs("endpoint")["EndpointName"])["answer"] == made.cloud.region
    dashboards = clouds[0].client("cloudwatch").list_dashboards()["DashboardEntries"]
    assert {each["DashboardName"] for each in dashboards} == {
        f"tumor-detector-full-{region}" for region in (REGION, ELSEWHERE)
    }
    # And the removal of one leaves the other
    for stack in reversed(STACKS):
        second.delete(stack)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        clouds[1].sagemaker.describe_endpoint(EndpointName=first.outputs("endpoint")["EndpointName"])
    assert first.cloud.invoke(first.outputs("endpoint")["EndpointName"])["answer"] == REGION
    for stack in reversed(STACKS):
        first.delete(stack)


def test_a_stage_cannot_log_without_the_regions_role(bootstrapped: Cloud) -> None:
    api = {"Ref": "Api"}
    stage = resource(
        "ApiGateway::Stage",
        RestApiId=api,
        DeploymentId="any",
        StageName="v1",
        AccessLogSetting={"Format": "$context.requestId"},
    )
    reason = refusal(
        Cloud(bootstrapped.aws, UNUSED), Api=resource("ApiGateway::RestApi", Name="a"), Stage=stage
    )
    assert "CloudWatch Logs role ARN must be set in account settings to enable logging" in reason


@pytest.mark.parametrize(
    ("policy", "mode", "reason"),
    [
        ("TLS_1_3", None, "Member must satisfy enum value set: [TLS_1_0, TLS_1_2"),
        ("SecurityPolicy_TLS12_PFS_2025_EDGE", "STRICT", "Invalid security policy SecurityPolicy_TLS12"),
        ("SecurityPolicy_TLS13_1_3_2025_09", None, "Invalid endpoint access mode None"),
        ("TLS_1_2", "STRICT", "Invalid endpoint access mode STRICT"),
    ],
)
def test_an_apis_tls_is_one_that_api_gateway_has(
    bootstrapped: Cloud, policy: str, mode: str | None, reason: str
) -> None:
    declared = {"SecurityPolicy": policy, **({"EndpointAccessMode": mode} if mode else {})}
    regional = {"Name": "a", "EndpointConfiguration": {"Types": ["REGIONAL"]}}
    assert reason in refusal(bootstrapped, Api=resource("ApiGateway::RestApi", **regional, **declared))


def test_names_that_an_account_holds_once_are_refused_in_every_region(bootstrapped: Cloud) -> None:
    bootstrapped.client("iam").create_role(RoleName="taken", AssumeRolePolicyDocument="{}")
    bootstrapped.client("cloudwatch").put_dashboard(DashboardName="taken", DashboardBody="{}")
    elsewhere = Cloud(bootstrapped.aws, ELSEWHERE)
    role = resource("IAM::Role", RoleName="taken", AssumeRolePolicyDocument={})
    assert "'taken' already exists" in refusal(elsewhere, Role=role)
    dashboard = resource("CloudWatch::Dashboard", DashboardName="taken", DashboardBody="{}")
    assert "'taken' already exists" in refusal(elsewhere, Dashboard=dashboard)


@pytest.mark.parametrize("kind", ["ALL_AT_ONCE", "CANARY"])
def test_a_rollout_without_its_wait_is_refused(bootstrapped: Cloud, kind: str) -> None:
    stack = EndpointStack(bootstrapped)
    template = stack.template(answer="first")
    size = {"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}} if kind == "CANARY" else {}
    policy = {"TrafficRoutingConfiguration": {"Type": kind, **size}}
    template["Resources"]["Endpoint"]["Properties"]["DeploymentConfig"] = {"BlueGreenUpdatePolicy": policy}
    assert "waitIntervalInSeconds' failed to satisfy constraint: Member must not be null" in refusal(
        bootstrapped, **template["Resources"]
    )
    with pytest.raises(ClientError, match="Could not find endpoint"):
        bootstrapped.sagemaker.describe_endpoint(EndpointName=stack.endpoint)


def test_detailed_observability_is_on_unless_declared_off(bootstrapped: Cloud) -> None:
    described = bootstrapped.sagemaker.describe_endpoint_config(EndpointConfigName=bootstrapped.config())
    assert described["MetricsConfig"]["EnableDetailedObservability"] is True
