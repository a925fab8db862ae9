"""Captured invocations, in the form and place in which SageMaker writes them."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulator.cloud import BUCKET, capture_to, wait_for

if TYPE_CHECKING:
    from tests.emulator.cloud import Cloud

KEY = re.compile(
    r"kept/[^/]+/endpoint-\w+/champion/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl"
)


def captured(cloud: Cloud, prefix: str) -> list[dict[str, Any]]:
    """Return the records below a prefix, and check their keys."""
    assert all(KEY.fullmatch(key) for key in cloud.keys(BUCKET, prefix))
    return cloud.lines(prefix)


def capturing(cloud: Cloud, prefix: str, *modes: str, percent: int = 100) -> str:
    """Create an endpoint that captures these modes, and return its name."""
    capture = capture_to(prefix, *modes, percent=percent)
    return cloud.endpoint(cloud.config(answer="yes", capture=capture))


def test_what_is_named_is_kept_by_media_type(cloud: Cloud) -> None:
    endpoint = capturing(cloud, "kept/both", "Input", "Output")
    answer = cloud.runtime.invoke_endpoint(
        EndpointName=endpoint,
        Body=b"\xff\xd8",
        ContentType="image/jpeg",
        InferenceId="an-id",
        CustomAttributes="heatmap=true",
    )
    text = answer["Body"].read().decode()
    wait_for(lambda: captured(cloud, "kept/both"))
    [record] = captured(cloud, "kept/both")
    assert record["captureData"] == {
        "endpointInput": {
            "observedContentType": "image/jpeg", "mode": "INPUT", "encoding": "BASE64",
            "data": base64.b64encode(b"\xff\xd8").decode(),
        },
        "endpointOutput": {
            "observedContentType": "application/json", "mode": "OUTPUT", "encoding": "JSON", "data": text,
        },
    }  # fmt: skip
    about = record["eventMetadata"]
    assert (about["inferenceId"], about["customAttributes"]) == ("an-id", ["heatmap=true"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about["inferenceTime"])
    assert record["eventVersion"] == "0"


@pytest.mark.parametrize(("percent", "fewest", "most"), [(100, 60, 60), (50, 10, 50), (1, 0, 8)])
def test_a_share_is_kept_and_the_end_of_the_endpoint_writes_the_rest(
    cloud: Cloud, percent: int, fewest: int, most: int
) -> None:
    prefix = f"kept/{percent}-percent"
    endpoint = capturing(cloud, prefix, "Output", percent=percent)
    for _ in range(60):
        cloud.invoke(endpoint)
    cloud.delete(endpoint)
    records = captured(cloud, prefix)
    assert fewest <= len(records) <= most
    assert not any("endpointInput" in record["captureData"] for record in records)
