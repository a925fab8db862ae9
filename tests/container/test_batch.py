"""Batch Transform's mode: a refusal is an answer, and only a fault fails the job."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, Mock

import pytest

from container.pool import Pool
from container.problem import MAX_IMAGE_BYTES, Problem
from tests.container import samples
from tests.container.serving import assert_problem, serving
from tests.container.test_server import post_in_process
from tests.dicom_files import dicom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.container.serving import Server

OCTETS = "application/octet-stream"
IMAGE = samples.png(samples.scan())
IMAGES = {
    "PNG": (IMAGE, 200),
    "DICOM": (dicom(samples.scan()), 200),
    "empty": (b"", 400),
    "another format": (b"GIF89a and more", 415),
    "too many bytes": (bytes(MAX_IMAGE_BYTES + 1), 413),
    "no brain MRI": (samples.png(samples.scan().point(lambda _: 250)), 422),
}


@pytest.fixture(scope="module")
def both(refusing_model_dir: Path) -> Iterator[tuple[Server, Server]]:
    """A server of an endpoint and one of a transform job."""
    with serving(refusing_model_dir) as single, serving(refusing_model_dir, SAGEMAKER_BATCH="true") as batch:
        yield single, batch


@pytest.mark.parametrize(("image", "status"), IMAGES.values(), ids=IMAGES)
def test_an_image_gets_the_same_answer_or_problem_with_status_200(
    both: tuple[Server, Server], image: bytes, status: int
) -> None:
    single, batch = (server.predict(image, OCTETS) for server in both)
    assert single.status == status
    if status != 200:
        assert_problem(single, status)
    assert (batch.status, batch.body) == (200, single.body)
    assert batch.headers["content-type"] == "application/json"


def test_a_media_type_is_refused_likewise_and_another_path_as_ever(both: tuple[Server, Server]) -> None:
    refused = both[1].predict(IMAGE, "text/plain")
    assert (refused.status, refused.json()["status"]) == (200, 415)
    assert both[1].request("GET", "/nothing").status == 404


@pytest.mark.parametrize("status", [408, 500, 503])
def test_what_another_try_may_mend_fails(status: int) -> None:
    pool = Mock(spec=Pool)
    pool.predict = AsyncMock(side_effect=Problem(HTTPStatus(status), "not now"))
    receive = AsyncMock(return_value={"type": "http.request", "body": b"image", "more_body": False})
    start, _ = post_in_process(pool, receive, batch=True)
    assert start["status"] == status
