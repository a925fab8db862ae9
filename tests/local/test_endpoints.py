"""SageMaker's API on a laptop, as boto3 sees it."""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.cloud import BUCKET, IMAGE, ROLE, Cloud, archive


def test_endpoint_answers_with_the_model_from_s3(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="first"))
    assert cloud.ask(endpoint)["answer"] == "first"


def test_request_and_answer_pass_unchanged(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="echo"))
    body = bytes(range(256)) * 100

    answer = cloud.runtime.invoke_endpoint(
        EndpointName=endpoint,
        Body=body,
        ContentType="image/png",
        Accept="a/b",
        CustomAttributes="heatmap=true",
    )

    seen = json.loads(answer["Body"].read())
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()
    assert (seen["content_type"], seen["accept"], seen["attributes"]) == ("image/png", "a/b", "heatmap=true")
    assert (answer["ContentType"], answer["CustomAttributes"]) == ("application/json", "seen=true")
    assert answer["InvokedProductionVariant"] == "champion"


def test_container_gets_the_models_environment_and_no_credentials(cloud: Cloud) -> None:
    config = cloud.config(answer="echo")
    environment = cloud.ask(cloud.endpoint(config))["environment"]
    assert environment["MODEL_NAME"] == config
    assert not [key for key in environment if key.startswith("AWS_")]


def test_update_loses_no_request(cloud: Cloud) -> None:
    # Given an endpoint under constant load
    endpoint = cloud.endpoint(cloud.config(answer="old"))
    answers: list[str] = []
    failures: list[Exception] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            try:
                answers.append(cloud.ask(endpoint)["answer"])
            except Exception as error:  # any failure at all is what this test looks for
                failures.append(error)

    callers = [threading.Thread(target=load) for _ in range(4)]
    for caller in callers:
        caller.start()

    # When it is moved to another model, twice
    for answer in ("new", "newest"):
        cloud.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=cloud.config(answer=answer))
        cloud.wait(endpoint)
    served_last = cloud.ask(endpoint)["answer"]
    done.set()
    for caller in callers:
        caller.join()

    # Then every request was answered, by one model or the other, and the change is complete
    assert not failures
    assert {"old", "new", "newest"} >= set(answers) >= {"old", "newest"}
    assert served_last == "newest"


def test_update_answers_a_slow_request_before_the_old_variant_stops(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="old", seconds=1.5))
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(cloud.ask(endpoint)["answer"]))
    slow.start()

    cloud.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=cloud.config(answer="new"))
    cloud.wait(endpoint)
    slow.join()

    assert answers == ["old"]
    assert cloud.ask(endpoint)["answer"] == "new"


def test_update_that_does_not_come_up_keeps_the_old_variant(cloud: Cloud) -> None:
    # Given an endpoint that serves
    config = cloud.config(answer="good")
    endpoint = cloud.endpoint(config)

    # When the new model's server ends before it answers
    cloud.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=cloud.config(start="crash"))
    cloud.wait(endpoint)

    # Then the old one serves, and the endpoint says why
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == config
    assert "broken on purpose" in described["FailureReason"]
    assert cloud.ask(endpoint)["answer"] == "good"


def test_endpoint_that_does_not_come_up_is_failed(cloud: Cloud) -> None:
    assert "broken on purpose" in cloud.failed_endpoint(cloud.config(start="crash"))


@pytest.mark.parametrize(
    "content",
    [
        b"no archive at all",
        archive("model.tflite", b"cut short")[:-20],
        archive("../escaped", b"out of the directory"),
        archive("/tmp/escaped", b"out of the directory"),
        archive("link", b"", kind=tarfile.SYMTYPE, target="/etc/passwd"),
        archive("link", b"", kind=tarfile.LNKTYPE, target="/etc/passwd"),
        archive("device", b"", kind=tarfile.FIFOTYPE),
    ],
    ids=["no-archive", "truncated", "parent", "absolute", "symbolic-link", "hard-link", "device"],
)
def test_archive_of_anything_but_plain_files_is_refused(cloud: Cloud, content: bytes) -> None:
    reason = cloud.failed_endpoint(cloud.config(artifact=cloud.upload(content)))
    assert "cannot be unpacked" in reason


def test_artifact_that_was_deleted_meanwhile_fails_the_endpoint(cloud: Cloud) -> None:
    url = cloud.artifact(answer="")
    config = cloud.config(artifact=url)
    cloud.s3.delete_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/"))
    assert "NoSuchKey" in cloud.failed_endpoint(config)


def test_containers_own_error_arrives_as_model_error(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(refuse=422, answer="no MRI"))
    with pytest.raises(cloud.runtime.exceptions.ModelError) as caught:
        cloud.ask(endpoint)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 422
    assert "no MRI" in response["OriginalMessage"]
    assert response["LogStreamArn"].endswith(f"/aws/sagemaker/Endpoints/{endpoint}")


def test_unknown_endpoint_is_a_validation_error(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint nowhere of account \d+ not found"):
        cloud.ask("nowhere")


@pytest.mark.parametrize(
    ("serverless", "limit", "message"),
    [(True, 4 * 1024 * 1024, "oversize body"), (False, 25 * 1024 * 1024, "exceeded 26214400 bytes")],
)
def test_body_over_its_modes_limit_is_refused(
    cloud: Cloud, serverless: bool, limit: int, message: str
) -> None:
    endpoint = cloud.endpoint(cloud.config(serverless=serverless, answer="fits"))
    assert cloud.ask(endpoint, bytes(limit))["answer"] == "fits"
    with pytest.raises(ClientError, match=message):
        cloud.ask(endpoint, bytes(limit + 1))


def test_real_time_becomes_no_serverless_endpoint(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="real-time"))
    with pytest.raises(ClientError, match=r"ValidationException.*real-time to serverless"):
        cloud.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName=cloud.config(serverless=True, answer="serverless")
        )


def test_serverless_becomes_a_real_time_endpoint(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(serverless=True, answer="serverless"))
    real_time = cloud.config(answer="real-time")
    cloud.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=real_time)
    cloud.wait(endpoint)
    assert cloud.ask(endpoint)["answer"] == "real-time"


def test_serverless_takes_no_network_isolation(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="does not support EnableNetworkIsolation"):
        cloud.config(serverless=True, isolated=True, answer="")


def test_what_does_not_exist_is_not_found(cloud: Cloud) -> None:
    sagemaker = cloud.sagemaker
    for describe in (
        lambda: sagemaker.describe_model(ModelName="none"),
        lambda: sagemaker.describe_endpoint_config(EndpointConfigName="none"),
        lambda: sagemaker.describe_endpoint(EndpointName="none"),
        lambda: sagemaker.create_endpoint(EndpointName="none", EndpointConfigName="none"),
    ):
        with pytest.raises(ClientError, match=r"ValidationException.*Could not find"):
            describe()


def test_model_without_its_data_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match=r"Could not find model data at s3://models/none\.tar\.gz"):
        cloud.sagemaker.create_model(
            ModelName="dataless",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://models/none.tar.gz"},
        )


def test_deleted_endpoint_is_gone(cloud: Cloud) -> None:
    config = cloud.config(answer="short-lived")
    endpoint = cloud.endpoint(config)
    assert endpoint in [each["EndpointName"] for each in cloud.sagemaker.list_endpoints()["Endpoints"]]

    cloud.delete(endpoint)
    cloud.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    cloud.sagemaker.delete_model(ModelName=config)

    listed = cloud.sagemaker.list_endpoints()["Endpoints"]
    assert endpoint not in [each["EndpointName"] for each in listed]
    assert not cloud.sagemaker.list_models(NameContains=config)["Models"]
    assert not cloud.sagemaker.list_endpoint_configs(NameContains=config)["EndpointConfigs"]


def test_description_says_what_really_runs(cloud: Cloud) -> None:
    described = cloud.sagemaker.describe_endpoint(EndpointName=cloud.endpoint(cloud.config(answer="")))
    [variant] = described["ProductionVariants"]
    [image] = variant["DeployedImages"]
    assert image["SpecifiedImage"] == IMAGE
    assert image["ResolvedImage"].startswith("process: python ")
