"""Shadow variants in local AWS: they get copies of requests, and callers notice nothing of them."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.emulator.cloud import capture_to, wait_for
from tests.emulator.deployment import dimensions

if TYPE_CHECKING:
    from tests.emulator.cloud import Cloud

PER_SECOND = 20
SECONDS = float(os.environ.get("SHADOW_SECONDS", "2"))  # of load; longer to measure
SERVED: dict[str, Any] = {"answer": "served", "seconds": 0.02}


def captured(cloud: Cloud, prefix: str, endpoint: str, variant: str) -> dict[str, str]:
    """Return a variant's captured answers by inference id."""
    records = cloud.lines(f"{prefix}/{endpoint}/{variant}/")
    answers = (json.loads(each["captureData"]["endpointOutput"]["data"])["answer"] for each in records)
    return dict(zip((each["eventMetadata"]["inferenceId"] for each in records), answers, strict=True))


def metric(cloud: Cloud, endpoint: str, variant: str, name: str) -> float:
    """Return the sum of a variant's metric."""
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=dimensions(endpoint, variant),
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=86400,
        Statistics=["Sum"],
    )
    return float(sum(each["Sum"] for each in found["Datapoints"]))


def test_both_variants_answer_under_one_id_and_only_one_is_heard(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(
        cloud.config(**SERVED, shadow={"answer": "shadow"}, capture=capture_to("both", "Output"))
    )
    for number in range(6):
        answer = cloud.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"i", InferenceId=f"id-{number}")
        assert answer["InvokedProductionVariant"] == "champion"
        assert json.loads(answer["Body"].read())["answer"] == "served"
    ids = {f"id-{number}" for number in range(6)}
    wait_for(lambda: len(captured(cloud, "both", endpoint, "shadow")) == 6)
    assert captured(cloud, "both", endpoint, "shadow") == dict.fromkeys(ids, "shadow")
    assert captured(cloud, "both", endpoint, "champion") == dict.fromkeys(ids, "served")
    assert [metric(cloud, endpoint, each, "Invocations") for each in ("champion", "shadow")] == [6, 6]
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    (served,), (shadow,) = described["ProductionVariants"], described["ShadowProductionVariants"]
    assert (served["VariantName"], shadow["VariantName"]) == ("champion", "shadow")
    assert (shadow["CurrentInstanceCount"], shadow["CurrentWeight"]) == (2, 1.0)

    # And an update without it ends it
    cloud.update(endpoint, cloud.config(**SERVED))
    assert "ShadowProductionVariants" not in cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    cloud.invoke(endpoint)
    assert metric(cloud, endpoint, "shadow", "Invocations") == 6


def test_its_weight_is_the_share_of_the_requests_that_it_gets(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="served", shadow={"answer": "shadow"}, weight=0.25))
    for _ in range(20):
        cloud.invoke(endpoint)
    wait_for(lambda: metric(cloud, endpoint, "shadow", "Invocations") == 5)
    assert metric(cloud, endpoint, "champion", "Invocations") == 20


def load(cloud: Cloud, endpoint: str) -> list[tuple[float, str]]:
    """Send requests at a constant rate, whatever is answered; return each one's time since due and answer."""
    runtime = cloud.client("sagemaker-runtime", config=Config(max_pool_connections=64))

    def call(due: float) -> tuple[float, str]:
        try:
            answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=b"image" * 20_000)
            text = str(json.loads(answer["Body"].read())["answer"])
        except ClientError as error:
            text = str(error)
        return time.monotonic() - due, text

    began, calls = time.monotonic() + 0.2, list[Future[tuple[float, str]]]()
    with ThreadPoolExecutor(64) as callers:
        for number in range(int(SECONDS * PER_SECOND)):
            due = began + number / PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            calls.append(callers.submit(call, due))
    return [each.result() for each in calls]


@pytest.mark.parametrize(
    ("shadow", "failing"),
    [
        (None, None),
        ({"answer": "shadow", "seconds": 0.02}, False),
        ({"loops": True}, True),
        ({"answer": "shadow", "seconds": 10}, None),
        ({"refuse": 500}, True),
    ],
    ids=["none", "good", "crashing", "slow", "failing"],
)
def test_no_caller_notices_a_shadow(
    cloud: Cloud, shadow: dict[str, object] | None, failing: bool | None
) -> None:
    endpoint = cloud.endpoint(cloud.config(**SERVED, shadow=shadow))
    times, answers = zip(*load(cloud, endpoint), strict=True)
    print(f"median {median(times) * 1000:.1f} ms, longest {max(times) * 1000:.1f} ms")
    assert answers == ("served",) * int(SECONDS * PER_SECOND)
    assert max(times) < 5
    assert metric(cloud, endpoint, "champion", "InvocationModelErrors") == 0
    if failing is not None:
        wait_for(lambda: metric(cloud, endpoint, "shadow", "Invocations") == SECONDS * PER_SECOND)
        errors = metric(cloud, endpoint, "shadow", "InvocationModelErrors")
        assert errors == (SECONDS * PER_SECOND if failing else 0)
    cloud.delete(endpoint)


def test_one_that_does_not_start_fails_the_endpoint_and_an_update_leaves_what_serves(cloud: Cloud) -> None:
    variant: Any = {"VariantName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match="Could not find model"):
        cloud.sagemaker.create_endpoint_config(
            EndpointConfigName="absent",
            ProductionVariants=[variant | {"ModelName": cloud.config()}],
            ShadowProductionVariants=[variant | {"VariantName": "b", "ModelName": "absent"}],
        )
    broken = cloud.config(**SERVED, shadow={"start": "crash"})
    reason = cloud.failed_endpoint(broken)
    assert reason.startswith("Production variant shadow did not pass the ping health check: it ended with ")
    endpoint = cloud.endpoint(cloud.config(answer="before"))
    cloud.update(endpoint, broken)
    assert cloud.invoke(endpoint)["answer"] == "before"
    assert "variant shadow" in cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["FailureReason"]
