"""SageMaker's hosting contract, over a real socket."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import uuid
from base64 import b64decode
from contextlib import ExitStack
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest
import uvicorn
from PIL import Image

from container import imaging
from container.pool import Pool
from container.problem import MAX_IMAGE_BYTES
from container.server import MAX_IN_FLIGHT, MEDIA_TYPES, OTHER_NAMES, Application, listen
from tests.container import samples
from tests.container.serving import answer_on, assert_problem, connect, head, serving
from tests.dicom_files import MARKER, dicom, planted, without

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uvicorn._types import HTTPScope

    from tests.container.serving import Server

SCAN = samples.scan()
IMAGE = samples.png(SCAN)
MIB = 2**20
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
MODEL = {"name": "tumor-detector", "version": "7", "sha256": "ab" * 32}


def test_ping_names_the_model_and_counts_the_workers(server: Server) -> None:
    assert server.events()[0]["event"] == "ready"
    count = len(server.workers())
    answer = server.request("GET", "/ping")
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "model": MODEL, "workers": {"ready": count, "wanted": count}}


@pytest.mark.parametrize("media_type", [*MEDIA_TYPES, *OTHER_NAMES, "Image/PNG", "image/png; charset=binary"])
@pytest.mark.parametrize("image", [IMAGE, samples.jpeg(SCAN), dicom(SCAN)], ids=["PNG", "JPEG", "DICOM"])
def test_any_image_type_is_accepted(server: Server, media_type: str, image: bytes) -> None:
    answer = server.predict(image, media_type)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"


def test_the_answer_has_the_members_of_the_contract(server: Server) -> None:
    answer = server.predict(IMAGE).json()
    probability = answer.pop("probability")
    assert answer == {"label": "YES", "class": 1, "threshold": 0.5, "model": MODEL}
    assert isinstance(probability, float)
    assert 1 / (1 + math.exp(-2.0)) < probability < 1 / (1 + math.exp(-2.5))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *[("heatmap=true", True), ("a=1, HEATMAP=TRUE", True), ("a=1;heatmap=true", True)],
        *[("heatmap=false", False), ("heatmap", False), ("noheatmap=true", False), ("heatmap=true1", False)],
    ],
)
def test_an_attribute_requests_the_heatmap(server: Server, value: str, *, wanted: bool) -> None:
    answer = server.predict(IMAGE, **{ATTRIBUTES: value}).json()
    assert ("heatmap" in answer) == wanted
    if wanted:
        heatmap = cast("dict[str, Any]", answer["heatmap"])
        assert (heatmap["width"], heatmap["height"], np.shape(heatmap["values"])) == (8, 8, (8, 8))


def test_an_attribute_requests_the_preview_and_the_frame(server: Server) -> None:
    frames = np.stack([np.zeros((64, 64)), np.asarray(SCAN.resize((64, 64)))])
    data = dicom(frames)
    assert server.predict(data, "application/dicom").status == 422
    answer = server.predict(data, "application/dicom", **{ATTRIBUTES: "preview=true;frame=2"}).json()
    preview = cast("dict[str, Any]", answer["preview"])
    shown = np.asarray(Image.open(BytesIO(b64decode(preview["png"]))))
    seen = imaging.preprocess(imaging.read(data, frame=2), size=len(shown))
    assert np.array_equal(shown, np.rint(255 * seen[..., 0]))
    assert preview["box"] == pytest.approx(imaging.content_box(imaging.read(data, frame=2)))
    for wrong in ("0", "-1", "x", "2.0", "9" * 30):
        assert server.predict(data, **{ATTRIBUTES: f"frame={wrong}"}).status == 422


def test_no_header_text_is_in_an_answer_or_a_log(model_dir: Path) -> None:
    with serving(model_dir) as server:
        good = planted(dicom(SCAN))
        for data in (good, without(good, Modality="CT"), good[:-1000], without(good, Rows=900)):
            answer = server.predict(data, "application/dicom", **{ATTRIBUTES: "heatmap=true;preview=true"})
            assert answer.status in (200, 400, 422)
            assert MARKER.encode() not in answer.body
        server.wait_for("request", lambda line: line["status"] == 400)
        assert MARKER not in "".join(server.output)
        assert "worker ended" not in "".join(server.output)


@pytest.mark.parametrize("value", ["trace-id=1a2b", "a=1;heatmap=true", "", "x" * 1024])
@pytest.mark.parametrize(("image", "status"), [(IMAGE, 200), (b"text", 415)], ids=["predicted", "refused"])
def test_custom_attributes_are_echoed(server: Server, value: str, image: bytes, status: int) -> None:
    answer = server.predict(image, **{ATTRIBUTES: value})
    assert answer.status == status
    assert answer.headers[ATTRIBUTES.lower()] == value
    assert ATTRIBUTES.lower() not in server.predict(image).headers


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        *((accept, 200) for accept in ("", "*/*", "Application/JSON", "application/*", "text/*,*/*;q=0.1")),
        *((accept, 200) for accept in ("application/json; charset=utf-8", "a/b, application/json;q=0.5")),
        *(
            (accept, 406)
            for accept in ("text/csv", "application/jsonlines", "image/*", "a/b, c/d;q=1", "json")
        ),
    ],
)
def test_only_json_is_acceptable(server: Server, accept: str, status: int) -> None:
    answer = server.predict(IMAGE, Accept=accept)
    assert answer.status == status
    if status == 406:
        assert_problem(answer, 406, accept)


@pytest.mark.parametrize(
    "media_type", [None, "", "text/plain", "application/json", "image/gif", "multipart/form-data"]
)
def test_another_media_type_is_unsupported(server: Server, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    answer = server.request("POST", "/invocations", IMAGE, headers)
    assert_problem(answer, 415)
    assert "image/png" in answer.headers["accept"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        *[("POST", "/ping", 405, "GET"), ("GET", "/invocations", 405, "POST")],
        *[("DELETE", "/invocations", 405, "POST"), ("GET", "/", 404, None)],
        *[("POST", "/invocations/", 404, None), ("GET", "/ping/..", 404, None), ("GET", "/%00", 404, None)],
    ],
)
def test_a_wrong_method_or_path_is_refused(
    server: Server, method: str, path: str, status: int, allowed: str | None
) -> None:
    answer = server.request(method, path)
    assert_problem(answer, status)
    assert answer.headers.get("allow") == allowed


@pytest.mark.parametrize("size", [MAX_IMAGE_BYTES + 1, 30 * MIB])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "streamed"])
def test_a_large_body_is_refused_and_memory_stays_flat(server: Server, size: int, *, chunked: bool) -> None:
    server.predict(IMAGE)
    before = server.peak_memory()
    connection = server.connect()
    body = (bytes(MIB) for _ in range(size // MIB + 1)) if chunked else bytes(size)
    connection.request("POST", "/invocations", body, {"content-type": "image/png"}, encode_chunked=chunked)
    assert_problem(answer_on(connection), 413)
    # The connection remains usable.
    connection.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
    assert answer_on(connection).status == 200
    connection.close()
    assert server.peak_memory() - before < 2 * MAX_IMAGE_BYTES + 2 * MIB


@pytest.mark.parametrize("bomb", [samples.too_many_pixels, samples.text_bomb])
def test_a_decompression_bomb_takes_no_memory(server: Server, bomb: Callable[[], bytes]) -> None:
    image = bomb()
    server.predict(IMAGE)
    before = server.peak_memory()
    assert server.predict(image).status in {400, 413}
    assert server.peak_memory() - before < 16 * MIB


def test_too_many_images_in_flight_are_refused(server: Server) -> None:
    with ExitStack() as stack:
        # Given as many incomplete uploads as the server accepts
        for _ in range(MAX_IN_FLIGHT):
            upload = stack.enter_context(connect(server.port))
            upload.sendall(head(f"Content-Length: {len(IMAGE)}"))
        # When another comes, perhaps before the last of them has arrived
        answers = (server.predict(IMAGE) for _ in range(1000))
        answer = next(answer for answer in answers if answer.status != 200)
        # Then it is refused for now, and /ping is not
        assert_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert server.request("GET", "/ping").status == 200
    # And images are accepted once the others have gone
    answers = (server.predict(IMAGE) for _ in range(1000))
    assert next(answer for answer in answers if answer.status != 503).status == 200


def post_in_process(
    pool: Pool, receive: AsyncMock, *, batch: bool = False
) -> tuple[dict[str, object], bytes]:
    """POST an image to an application without a socket; returns the response's start and body."""
    scope = {"method": "POST", "path": "/invocations", "headers": [(b"content-type", b"image/png")]}
    send = AsyncMock()
    asyncio.run(Application(pool, workers=1, batch=batch)(cast("HTTPScope", scope), receive, send))
    start, body = (call.args[0] for call in send.call_args_list)
    return start, body["body"]


def test_the_details_of_a_failure_are_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    pool = Mock(spec=Pool)
    pool.predict = AsyncMock(side_effect=RuntimeError("a secret"))
    message = {"type": "http.request", "body": IMAGE, "more_body": False}
    start, body = post_in_process(pool, AsyncMock(return_value=message))
    assert start["status"] == 500
    assert b"secret" not in body
    assert any(record.exc_info for record in caplog.records)


def test_a_slow_body_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("container.server.BODY_S", 0.01)
    pool = Mock(spec=Pool)

    async def never() -> None:
        await asyncio.sleep(60)

    start, _ = post_in_process(pool, AsyncMock(side_effect=never))
    assert start["status"] == 408
    assert (b"connection", b"close") in cast("list[tuple[bytes, bytes]]", start["headers"])
    pool.predict.assert_not_called()


def test_a_response_is_not_held_back_for_an_acknowledgement() -> None:
    with listen(uvicorn.Config("", port=0)) as own, socket.create_connection(own.getsockname()):
        assert own.accept()[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_interrupted_upload_affects_no_other(server: Server) -> None:
    with connect(server.port) as upload:
        upload.sendall(head("Content-Length: 12345") + b"half of it")
    line = server.wait_for("request", lambda line: line["bytes"] == len(b"half of it"))
    assert line["status"] == 400
    assert server.predict(IMAGE).status == 200


def test_the_log_has_one_line_a_request_and_no_image_data(server: Server) -> None:
    # Given files with a readable text, one an image and two not
    secret = "PATIENT-JANE-DOE"
    images = [IMAGE + secret.encode(), IMAGE[:40] + secret.encode() * 5, secret.encode()]
    # When they are sent
    assert [server.predict(image).status for image in images] == [200, 400, 415]
    server.wait_for("request", lambda line: line["bytes"] == len(secret))
    # Then each has its line, and the text is in none
    lines = [line for line in server.events() if line["event"] == "request"]
    assert [line["status"] for line in lines[-3:]] == [200, 400, 415]
    assert [line["bytes"] for line in lines[-3:]] == [len(image) for image in images]
    assert all({"time", "level", "method", "path", "ms"} <= set(line) for line in lines)
    assert secret not in json.dumps(server.events())


def test_the_log_has_the_phases_of_a_request(server: Server) -> None:
    large = samples.jpeg(samples.scan(1600, 1200))
    for data, status in ((large, 200), (large[:-1000], 400)):
        assert server.predict(data).status == status
        size = len(data)
        line = server.wait_for("request", lambda line, size=size: line["bytes"] == size)  # type: ignore[misc]
        phases = [line[f"{name}_us"] for name in ("read", "queue", "decode", "inference", "write")]
        assert all(isinstance(phase, int) and phase >= 0 for phase in phases)
        assert sum(cast("list[int]", phases)) <= cast("float", line["ms"]) * 1000 + 10
        assert (cast("int", line["inference_us"]) > 0) == (status == 200)
    server.request("POST", "/invocations", b"seventeen letters", {"content-type": "text/plain"})
    line = server.wait_for("request", lambda line: line["status"] == 415 and line["bytes"] == 0)
    assert not {"decode_us", "inference_us", "queue_us"} & set(line)


@pytest.mark.parametrize("name", ["x" * 65, "PLANTED <b>", "PLANTED\u00e9", "PLANTED=1"])
def test_the_log_has_the_callers_request_id_if_it_is_well_formed(server: Server, name: str) -> None:
    request_id, traceparent = str(uuid.uuid4()), f"00-{'4b' * 16}-{'f0' * 8}-01"
    server.predict(IMAGE, **{ATTRIBUTES: f"request_id={name}"})
    server.predict(IMAGE, **{ATTRIBUTES: f"heatmap=true;request_id={request_id};traceparent={traceparent}"})
    line = server.wait_for("request", lambda line: line.get("request_id") == request_id)
    assert (line["traceparent"], line["status"]) == (traceparent, 200)
    assert not [line for line in server.output if name in line or "PLANTED" in line]


def test_batch_transform_gets_single_images(server: Server) -> None:
    answer = server.request("GET", "/execution-parameters")
    assert answer.status == 200
    assert answer.json() == {
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 4,
        "MaxConcurrentTransforms": 2 * len(server.workers()),
    }
