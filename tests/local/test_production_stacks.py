"""Prod's own templates, every optional part of them, as CloudFormation on a laptop takes them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import WaiterError

from infra import release as releases
from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, RELEASES, Assembly, record_for, synthesize
from tests.local.cloud import AT_ONCE, archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local.cloud import Cloud

REGION = "us-east-1"
STACKS = ("registry", "endpoint", "gateway", "sight")


class Deployment:
    """An environment's stacks on the laptop, deployed as the CDK CLI would without its images."""

    def __init__(self, cloud: Cloud, assembly: Assembly) -> None:
        self.cloud = cloud
        self.assembly = assembly

    def client(self, service: str) -> Any:
        environment = self.cloud.aws.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud.aws.endpoint_url,
            region_name=REGION,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def bootstrap(self) -> None:
        self.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
        )

    def deploy(self, stack: str) -> None:
        self._publish(stack)
        name = self.name(stack)
        self.cloud.stacks.create_stack(
            StackName=name,
            TemplateBody=self.assembly.template(stack).path.read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        try:
            self.cloud.stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
        except WaiterError:
            events = self.cloud.stacks.describe_stack_events(StackName=name)["StackEvents"]
            failed = [e for e in events if e["ResourceStatus"].endswith("_FAILED")]
            pytest.fail(
                "\n".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in failed)
            )

    def delete(self, stack: str) -> None:
        self.cloud.stacks.delete_stack(StackName=self.name(stack))
        waiter = self.cloud.stacks.get_waiter("stack_delete_complete")
        waiter.wait(StackName=self.name(stack), WaiterConfig=AT_ONCE)

    def name(self, stack: str) -> str:
        return f"tumor-detector-{self.assembly.environment}-{stack}"

    def outputs(self, stack: str) -> dict[str, str]:
        (described,) = self.cloud.stacks.describe_stacks(StackName=self.name(stack))["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    def resources(self, stack: str) -> dict[str, str]:
        """Physical ids by type."""
        found = self.cloud.stacks.describe_stack_resources(StackName=self.name(stack))["StackResources"]
        return {each["ResourceType"]: each["PhysicalResourceId"] for each in found}

    def _publish(self, stack: str) -> None:
        for file in self.assembly.assets(stack).get("files", {}).values():
            source = self.assembly.folder / file["source"]["path"]
            if not source.is_dir():
                continue
            (destination,) = file["destinations"].values()
            bucket = destination["bucketName"].replace("${AWS::AccountId}", "000000000000")
            self.cloud.s3.create_bucket(Bucket=bucket)
            self.cloud.s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=zipped(source))


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as members:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            members.write(path, path.relative_to(folder))
    return buffer.getvalue()


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
    budget = deployed.resources("sight")["AWS::Budgets::Budget"]
    assert scaling.startswith("tumor-detector-full-endpoint-EndpointScalingTarget")
    assert budget.startswith("tumor-detector-full-sight-Budget")
