"""Prod's own templates, every optional part of them, as CloudFormation on a laptop takes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import release as releases
from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, RELEASES, record_for, synthesize
from tests.local.cloud import archive
from tests.local.deployment import REGION, Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.cloud import Cloud

STACKS = ("registry", "endpoint", "gateway", "sight")


@pytest.fixture(scope="module")
def deployed(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Every optional part at once, in the laptop's account."""
    folder = tmp_path_factory.mktemp("full")
    written = (FIXTURE_ENVIRONMENTS / "full.toml").read_text()
    written = written.replace('"123456789012"', '"000000000000"').replace("eu-west-1", REGION)
    (folder / "full.toml").write_text(written)
    assembly = synthesize("full", folder / "out", release=record_for("full", folder), environments=folder)
    made = Deployment(cloud, assembly)
    made.bootstrap()
    made.deploy("registry")
    sha256 = releases.load(RELEASES / "prod.json").model.sha256
    artifact = archive("behaviour.json", json.dumps({"answer": "champion"}).encode())
    cloud.s3.put_object(
        Bucket=made.outputs("registry")["BucketName"], Key=releases.artifact_key(sha256), Body=artifact
    )
    for stack in STACKS[1:]:
        made.deploy(stack)
    yield made
    for stack in reversed(STACKS):
        made.delete(stack)


def test_the_endpoint_serves_the_released_artifact(deployed: Deployment) -> None:
    outputs = deployed.outputs("endpoint")
    assert deployed.cloud.ask(outputs["EndpointName"])["answer"] == "champion"
    described = deployed.cloud.sagemaker.describe_endpoint(EndpointName=outputs["EndpointName"])
    assert described["EndpointConfigName"] == outputs["EndpointConfigName"]


def test_the_key_reaches_every_stack_through_its_parameter(deployed: Deployment) -> None:
    parameter = deployed.client("ssm").get_parameter(Name="/tumor-detector/full/key-arn")
    config = deployed.cloud.sagemaker.describe_endpoint_config(
        EndpointConfigName=deployed.outputs("endpoint")["EndpointConfigName"]
    )
    assert config["KmsKeyId"] == parameter["Parameter"]["Value"]
    assert parameter["Parameter"]["Value"].startswith("arn:aws:kms:")


def test_what_is_declared_of_an_endpoint_arrives_at_sagemaker(deployed: Deployment) -> None:
    config = deployed.cloud.sagemaker.describe_endpoint_config(
        EndpointConfigName=deployed.outputs("endpoint")["EndpointConfigName"]
    )
    assert config["DataCaptureConfig"]["CaptureOptions"] == [{"CaptureMode": "Output"}]
    assert config["ProductionVariants"][0]["VariantName"] == "champion"


def test_dashboard_and_alarms_are_declared(deployed: Deployment) -> None:
    cloudwatch = deployed.client("cloudwatch")
    name = deployed.outputs("sight")["DashboardName"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    assert {widget["type"] for widget in body["widgets"]} == {"text", "alarm", "metric"}
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    declared = [
        each
        for stack in ("endpoint", "sight")
        for each in deployed.assembly.template(stack).all("CloudWatch::Alarm")
    ]
    ours = [alarm for alarm in alarms if alarm["AlarmName"].startswith("tumor-detector-full-")]
    assert len(ours) == len(declared)
    topic = deployed.outputs("sight")["TopicArn"]
    assert all(a["AlarmActions"] == [topic] for a in ours if "-sight-" in a["AlarmName"])


def test_the_scheduled_canary_reaches_the_model_and_says_what_is_wrong(deployed: Deployment) -> None:
    # Given an endpoint whose stand-in model answers no prediction at all
    # When the clock strikes
    name = deployed.resources("sight")["AWS::Lambda::Function"]
    answer = deployed.cloud.functions.invoke(FunctionName=name, Payload=b"{}")
    # Then the gateway's Lambda has asked it, and the canary fails on every golden answer
    assert "FunctionError" in answer
    said = json.loads(answer["Payload"].read())
    assert "golden phantom 101: answered 502" in said["errorMessage"]
    assert "golden phantom 102: refusal expected, answered 502" in said["errorMessage"]


def test_what_is_not_emulated_is_recorded_under_its_name(deployed: Deployment) -> None:
    scaling = deployed.resources("endpoint")["AWS::ApplicationAutoScaling::ScalableTarget"]
    assert scaling.startswith("tumor-detector-full-endpoint-EndpointScalingTarget")
