"""An environment with every optional part, a second region, a second environment, and what AWS refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra import config, names
from infra.paths import ROOT
from scripts.console import DeliveryError
from scripts.delivery.stacks import refuse_to_replace_log_role
from tests.emulator.cloud import Cloud
from tests.emulator.deployment import REGION, create_gateway, full_deployment, resource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ELSEWHERE = "eu-west-1"
UNUSED = "eu-north-1"
STACKS = ("registry", "endpoint", "gateway", "monitoring")
LOCAL = config.load("local")


# By type: a request that takes a name, and the region where CloudFormation then refuses it.
TAKEN: Mapping[str, Any] = json.loads((ROOT / "tests" / "fixtures" / "taken.json").read_text())
AS_PROPERTY = {"Bucket": "BucketName", "ClientIDList": "ClientIdList"}


def test_a_second_environment_leaves_the_regions_log_role(bootstrapped: Cloud, tmp_path: Path) -> None:
    gateway = bootstrapped.client("apigateway")
    one, two = (replace(LOCAL, environment=name) for name in ("one", "two"))

    def set_role(arn: str) -> None:
        patch = {"op": "replace", "path": "/cloudwatchRoleArn", "value": arn}
        gateway.update_account(patchOperations=[patch])

    set_role("")
    # Given an environment whose stack has set the role, which deploys again without complaint
    refuse_to_replace_log_role(one)
    create_gateway(bootstrapped, one, tmp_path / "one")
    refuse_to_replace_log_role(one)
    role = gateway.get_account()["cloudwatchRoleArn"]
    # When a second one would set another, Then its deploy is refused with what to write
    with pytest.raises(DeliveryError, match=r'api_log_role = "existing" in .*/two\.toml'):
        refuse_to_replace_log_role(two)
    # And with that it is deployed, and the role is the first one's
    existing = replace(two, api_log_role="existing")
    refuse_to_replace_log_role(existing)
    create_gateway(bootstrapped, existing, tmp_path / "two")
    assert gateway.get_account()["cloudwatchRoleArn"] == role
    for name in ("two", "one"):
        bootstrapped.delete_stack(names.stack(name, "gateway"))
    # And the role of a deleted environment blocks no other
    set_role(role)
    refuse_to_replace_log_role(two)


def test_an_environment_is_deployed_to_a_second_region(
    bootstrapped: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Given an environment in one region, whose first deployment failed
    clouds = [Cloud(bootstrapped.aws, region) for region in (REGION, ELSEWHERE)]
    first, second = (full_deployment(each, tmp_path_factory.mktemp("full")) for each in clouds)
    first.deploy_all("registry", start="crash")
    with pytest.raises(pytest.fail.Exception, match="did not pass the ping health check"):
        first.deploy("endpoint")
    first.delete("endpoint")  # what the CDK does with a stack that was never created
    first.publish_model(answer=REGION)
    for stack in STACKS[1:]:
        first.deploy(stack)
    # Then the next one continues its log, and SageMaker has what is declared, with the shared key
    group = f"/aws/sagemaker/Endpoints/{first.outputs('endpoint')['EndpointName']}"
    events = first.client("logs").filter_log_events(logGroupName=group)["events"]
    lines = [event["message"] for event in events]
    (crash,) = (number for number, line in enumerate(lines) if "this model is broken on purpose" in line)
    (ready,) = (number for number, line in enumerate(lines) if '"ready"' in line)
    assert crash < ready
    parameter = first.client("ssm").get_parameter(Name="/tumor-detector/full/key-arn")["Parameter"]
    served = first.outputs("endpoint")["EndpointConfigName"]
    declared = first.cloud.sagemaker.describe_endpoint_config(EndpointConfigName=served)
    assert parameter["Value"].startswith("arn:aws:kms:")
    assert declared["KmsKeyId"] == parameter["Value"]
    assert declared["DataCaptureConfig"]["CaptureOptions"] == [{"CaptureMode": "Output"}]
    assert declared["ProductionVariants"][0]["VariantName"] == "champion"
    # When it is deployed to another region of the account
    second.deploy_all(*STACKS, answer=ELSEWHERE)
    # Then each serves its own model, under the same name
    assert first.outputs("endpoint")["EndpointName"] == second.outputs("endpoint")["EndpointName"]
    for made in (first, second):
        assert made.cloud.invoke(made.outputs("endpoint")["EndpointName"])["answer"] == made.cloud.region
    prefix = "tumor-detector-full-"
    dashboards = clouds[0].client("cloudwatch").list_dashboards(DashboardNamePrefix=prefix)
    assert {each["DashboardName"] for each in dashboards["DashboardEntries"]} == {
        prefix + region for region in (REGION, ELSEWHERE)
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
    reason = Cloud(bootstrapped.aws, UNUSED).refusal(
        Api=resource("ApiGateway::RestApi", Name="a"), Stage=stage
    )
    assert "CloudWatch Logs role ARN must be set in account settings to enable logging" in reason


@pytest.mark.parametrize("kind", TAKEN)
def test_a_name_that_is_taken_is_refused(bootstrapped: Cloud, kind: str) -> None:
    service, operation, arguments, region = TAKEN[kind]
    if service == "kms":
        key = bootstrapped.client("kms").create_key()["KeyMetadata"]["KeyId"]
        arguments = {**arguments, "TargetKeyId": key}
    getattr(bootstrapped.client(service), operation)(**arguments)
    named = {AS_PROPERTY.get(name, name[0].upper() + name[1:]): value for name, value in arguments.items()}
    cloud = Cloud(bootstrapped.aws, region)
    for _ in range(2):  # the refused stack leaves what has the name
        reason = cloud.refusal(Taken=resource(kind, **named))
        assert ("Validation failed" if kind == "S3::Bucket" else "already exists") in reason
        assert "<" not in reason  # the message alone, without the XML of some services around it


def test_detailed_observability_is_on_unless_declared_off(bootstrapped: Cloud) -> None:
    described = bootstrapped.sagemaker.describe_endpoint_config(EndpointConfigName=bootstrapped.config())
    assert described["MetricsConfig"]["EnableDetailedObservability"] is True
