"""What ECR, Lambda and CloudWatch do otherwise than unpatched ministack."""

from __future__ import annotations

import base64
import json
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.cloud import wait_for, zipped
from tests.emulator.deployment import CONDITION, resource

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulator.cloud import Cloud

ASSET_TAG = "0" * 63 + "a"
WAITING = """
import pathlib, sys, time
def handle(event, context):
    if event:
        pathlib.Path(event["begun"]).touch()
        while not pathlib.Path(event["go"]).exists():
            time.sleep(0.05)
    return [{version!r}, *sys.version_info[:2]]
"""


@pytest.fixture
def repository(cloud: Cloud) -> str:
    name = f"images-{uuid.uuid4().hex[:8]}"
    cloud.ecr.create_repository(repositoryName=name)
    return name


def test_repository_and_token_name_the_local_registry(cloud: Cloud, repository: str) -> None:
    [described] = cloud.ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    [token] = cloud.ecr.get_authorization_token()["authorizationData"]
    assert described["repositoryUri"] == f"127.0.0.1:{cloud.aws.port}/{repository}"
    assert token["proxyEndpoint"] == cloud.aws.endpoint_url
    assert base64.b64decode(token["authorizationToken"]).startswith(b"AWS:")


def test_a_missing_image_and_a_missing_repository_are_errors(cloud: Cloud, repository: str) -> None:
    with pytest.raises(cloud.ecr.exceptions.ImageNotFoundException):
        cloud.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "absent"}])
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        cloud.ecr.describe_images(repositoryName="absent", imageIds=[{"imageTag": "absent"}])


def test_without_an_engine_the_cdk_finds_its_image_published(cloud: Cloud, repository: str) -> None:
    asset = {"repositoryName": repository, "imageIds": [{"imageTag": ASSET_TAG}]}
    [described] = cloud.ecr.describe_images(**asset)["imageDetails"]  # type: ignore[arg-type]
    assert described["imageTags"] == [ASSET_TAG]
    assert "docker" in described["imageManifestMediaType"]


def test_an_update_of_a_lambda_does_not_fail_an_invocation_under_way(cloud: Cloud, tmp_path: Path) -> None:
    # Given a busy function of the declared runtime, which the suite's own Python runs
    functions, begun, go = cloud.functions, tmp_path / "begun", tmp_path / "go"
    functions.create_function(
        FunctionName="busy", Runtime="python3.13", Role="arn:aws:iam::000000000000:role/any",
        Handler="handler.handle", Timeout=60, Code={"ZipFile": bundle("old")},
    )  # fmt: skip
    answers: list[Any] = []

    def invoke(**event: str) -> None:
        answer = functions.invoke(FunctionName="busy", Payload=json.dumps(event))
        answers.append(json.load(answer["Payload"]))

    caller = threading.Thread(target=invoke, kwargs={"begun": str(begun), "go": str(go)})
    caller.start()
    wait_for(begun.exists)
    # When its code is updated meanwhile
    functions.update_function_code(FunctionName="busy", ZipFile=bundle("new"))
    # Then the next invocation runs the new code, and the one under way ends with the old
    invoke()
    go.touch()
    caller.join()
    assert answers == [[version, *sys.version_info[:2]] for version in ("new", "old")]


def bundle(version: str) -> bytes:
    return zipped({"handler.py": WAITING.format(version=version).encode()})


@pytest.mark.parametrize(("statistic", "key"), [("Sum", "Statistic"), ("p99", "ExtendedStatistic")])
def test_an_alarm_on_a_query_of_one_metric_watches_that_metric(
    cloud: Cloud, statistic: str, key: str
) -> None:
    # Given an alarm on a metric query, created through CloudFormation
    cloudwatch, name = cloud.client("cloudwatch"), f"alarm-{uuid.uuid4().hex[:8]}"
    dimensions = [{"Name": "EndpointName", "Value": "champion"}]
    metric = {"Namespace": "Ours", "MetricName": "Errors", "Dimensions": dimensions}
    query = {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}
    declared = resource("CloudWatch::Alarm", AlarmName=name, Metrics=[query], Threshold=5, **CONDITION)
    cloud.create_stack(name, {"Resources": {"Alarm": declared}})
    # Then it is described as one on the metric itself, whose data it watches
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Period"]) == ("Ours", "Errors", 60)
    assert (alarm[key], alarm["Dimensions"]) == (statistic, dimensions)
    data = {"MetricName": "Errors", "Value": 6.0, "Dimensions": dimensions}
    cloudwatch.put_metric_data(Namespace="Ours", MetricData=[data])
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
