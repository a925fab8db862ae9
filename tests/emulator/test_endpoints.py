"""SageMaker's API in local AWS, as boto3 sees it."""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.cloud import BUCKET, IMAGE, ROLE, Cloud, archive

DATALESS = {"Image": IMAGE, "ModelDataUrl": "s3://models/none.tar.gz"}


def test_request_and_answer_pass_unchanged(cloud: Cloud) -> None:
    config = cloud.config(answer="echo")
    endpoint = cloud.endpoint(config)
    body = bytes(range(256)) * 100

    answer = cloud.runtime.invoke_endpoint(
        EndpointName=endpoint,
        Body=body,
        ContentType="image/png",
        Accept="a/b",
        CustomAttributes="heatmap=true",
    )

    echo = json.loads(answer["Body"].read())
    assert echo["sha256"] == hashlib.sha256(body).hexdigest()
    assert (echo["content_type"], echo["accept"], echo["attributes"]) == ("image/png", "a/b", "heatmap=true")
    assert (answer["ContentType"], answer["CustomAttributes"]) == ("application/json", "seen=true")
    assert answer["InvokedProductionVariant"] == "champion"

    # And the server has its model's environment, no credentials, and as many open files as on AWS
    assert echo["open_files"] == [1024, 1024]
    assert echo["environment"]["MODEL_NAME"] == config
    assert not [key for key in echo["environment"] if key.startswith("AWS_")]
    [variant] = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    [image] = variant["DeployedImages"]
    assert image["SpecifiedImage"] == IMAGE
    assert image["ResolvedImage"].startswith("process: tests.emulator.fake_server")


def test_update_answers_a_slow_request_before_the_old_variant_stops(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="old", seconds=1.5))
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(cloud.invoke(endpoint)["answer"]))
    slow.start()

    cloud.update(endpoint, cloud.config(answer="new"))
    slow.join()

    assert answers == ["old"]
    assert cloud.invoke(endpoint)["answer"] == "new"


@pytest.mark.parametrize(
    "content",
    [
        b"no archive at all",
        archive("model.tflite", b"cut short")[:-20],
        archive("../escaped", b"out of the directory"),
        archive("/tmp/escaped", b"out of the directory"),
        archive("link", b"", kind=tarfile.SYMTYPE, target="/etc/passwd"),
    ],
    ids=["no-archive", "truncated", "parent", "absolute", "link"],
)
def test_archive_of_anything_but_plain_files_is_refused(cloud: Cloud, content: bytes) -> None:
    reason = cloud.failed_endpoint(cloud.config(artifact=cloud.upload(content)))
    assert "cannot be unpacked" in reason


def test_artifact_deleted_meanwhile_fails_the_endpoint(cloud: Cloud) -> None:
    url = cloud.artifact(answer="")
    config = cloud.config(artifact=url)
    cloud.s3.delete_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/"))
    assert "NoSuchKey" in cloud.failed_endpoint(config)


def test_error_of_the_container_arrives_as_model_error(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(refuse=422, answer="no MRI"))
    with pytest.raises(cloud.runtime.exceptions.ModelError) as caught:
        cloud.invoke(endpoint)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 422
    assert "no MRI" in response["OriginalMessage"]
    assert response["LogStreamArn"].endswith(f"/aws/sagemaker/Endpoints/{endpoint}")


def test_unknown_endpoint_is_a_validation_error(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint nowhere of account \d+ not found"):
        cloud.invoke("nowhere")


@pytest.mark.parametrize(
    ("serverless", "limit", "message"),
    [(True, 4 * 1024 * 1024, "oversize body"), (False, 25 * 1024 * 1024, "exceeded 26214400 bytes")],
)
def test_body_over_the_limit_of_its_mode_is_refused(
    cloud: Cloud, serverless: bool, limit: int, message: str
) -> None:
    endpoint = cloud.endpoint(cloud.config(serverless=serverless, answer="fits"))
    assert cloud.invoke(endpoint, bytes(limit))["answer"] == "fits"
    with pytest.raises(ClientError, match=message):
        cloud.invoke(endpoint, bytes(limit + 1))


def test_a_serverless_endpoint_becomes_a_real_time_one_but_not_back(cloud: Cloud) -> None:
    serverless = cloud.config(serverless=True, answer="serverless")
    endpoint = cloud.endpoint(serverless)
    cloud.update(endpoint, cloud.config(answer="real-time"))
    assert cloud.invoke(endpoint)["answer"] == "real-time"
    with pytest.raises(ClientError, match=r"ValidationException.*real-time to serverless"):
        cloud.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=serverless)


def test_serverless_takes_no_network_isolation(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="does not support EnableNetworkIsolation"):
        cloud.config(serverless=True, isolated=True, answer="")


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("describe_model", {"ModelName": "none"}),
        ("describe_endpoint_config", {"EndpointConfigName": "none"}),
        ("describe_endpoint", {"EndpointName": "none"}),
        ("create_endpoint", {"EndpointName": "none", "EndpointConfigName": "none"}),
        ("create_model", {"ModelName": "a", "ExecutionRoleArn": ROLE, "PrimaryContainer": DATALESS}),
    ],
)
def test_missing_resource_is_not_found(cloud: Cloud, method: str, names: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*Could not find .*none"):
        getattr(cloud.sagemaker, method)(**names)
