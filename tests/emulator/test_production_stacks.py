"""The templates with every optional part, as CloudFormation in local AWS deploys them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.emulator.cloud import archive
from tests.emulator.deployment import full_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.cloud import Cloud
    from tests.emulator.deployment import Deployment

STACKS = ("registry", "endpoint", "gateway", "monitoring")


@pytest.fixture(scope="module")
def deployed(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Every optional part at once, in the emulator's account; its first deployment failed."""
    made = full_deployment(cloud, tmp_path_factory.mktemp("full"))
    made.deploy_all("registry", start="crash")
    with pytest.raises(pytest.fail.Exception, match="did not pass the ping health check"):
        made.deploy("endpoint")
    made.delete("endpoint")  # what the CDK does with a stack that was never created
    body = archive("behaviour.json", json.dumps({"answer": "champion"}).encode())
    cloud.s3.put_object(**made.artifact, Body=body)  # type: ignore[arg-type]
    for stack in STACKS[1:]:
        made.deploy(stack)
    yield made
    for stack in reversed(STACKS):
        made.delete(stack)


def test_a_failed_first_deployment_leaves_its_log_which_the_next_continues(deployed: Deployment) -> None:
    group = f"/aws/sagemaker/Endpoints/{deployed.outputs('endpoint')['EndpointName']}"
    events = deployed.client("logs").filter_log_events(logGroupName=group)["events"]
    lines = [event["message"] for event in events]
    (crash,) = (number for number, line in enumerate(lines) if "this model is broken on purpose" in line)
    (ready,) = (number for number, line in enumerate(lines) if '"ready"' in line)
    assert crash < ready


def test_the_declared_configuration_and_the_shared_key_reach_sagemaker(deployed: Deployment) -> None:
    parameter = deployed.client("ssm").get_parameter(Name="/tumor-detector/full/key-arn")["Parameter"]
    config = deployed.cloud.sagemaker.describe_endpoint_config(
        EndpointConfigName=deployed.outputs("endpoint")["EndpointConfigName"]
    )
    assert parameter["Value"].startswith("arn:aws:kms:")
    assert config["KmsKeyId"] == parameter["Value"]
    assert config["DataCaptureConfig"]["CaptureOptions"] == [{"CaptureMode": "Output"}]
    assert config["ProductionVariants"][0]["VariantName"] == "champion"
