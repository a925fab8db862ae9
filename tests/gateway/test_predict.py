"""POST /predict: what it accepts, what reaches the endpoint and what it answers."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest

from infra.lambdas.gateway.upload import IMAGE_TYPES, OTHER_NAMES
from tests.gateway.events import event, form, form_type
from tests.gateway.sagemaker import LOW, PREDICTION, attributes, prediction
from tests.gateway.visit import draw

if TYPE_CHECKING:
    from infra.lambdas.gateway.proxy import Event
    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

MIB = 1024 * 1024
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
ALWAYS = {"statistics": "true", "request_id": REQUEST_ID}
JPEG = bytes.fromhex("ffd8ffe000104a464946")


def in_a_form(name: str, content: bytes) -> Event:
    return event("predict_image", headers=form_type(), body=form((name, content)))


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (event("predict_image"), {"heatmap": "false"}),
        (event("predict_image", query={"heatmap": "true"}), {"heatmap": "true"}),
        (
            event("predict_image", query={"preview": "true", "frame": "12", "other": "x"}),
            {"heatmap": "false", "preview": "true", "frame": "12"},
        ),
        (in_a_form("image", JPEG), {"heatmap": "false"}),
    ],
)
def test_the_image_reaches_the_endpoint_and_its_answer_the_caller(
    send: Send, sagemaker: FakeSageMaker, sent: Event, wanted: dict[str, str]
) -> None:
    answer = send(sent)
    (call,) = sagemaker.calls
    assert call.body == JPEG
    assert attributes(call) == {**wanted, **ALWAYS}
    assert call.headers["x-amzn-sagemaker-inference-id"] == REQUEST_ID
    assert call.target == "/endpoints/tumor-detector-test-real-time/invocations"
    assert answer.json == {**PREDICTION, "request_id": REQUEST_ID}
    assert answer.headers["Cache-Control"] == "no-store"


BOXES = ([0, 0, 1, 1], [0.5, 20, 180.25, 201])
PREVIEWS = [{"png": base64.b64encode(draw()).decode(), "box": box} for box in BOXES]


@pytest.mark.parametrize("members", [LOW, *({"preview": preview} for preview in PREVIEWS)])
def test_optional_members_are_passed_on(
    send: Send, sagemaker: FakeSageMaker, members: dict[str, object]
) -> None:
    sagemaker.default = prediction(**members)
    assert send(event("predict_image")).json == {**PREDICTION, **members, "request_id": REQUEST_ID}


def test_a_trace_is_passed_on_to_the_endpoint_and_the_log(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    send(event("predict_image", headers={"Traceparent": TRACEPARENT}))
    (call,) = sagemaker.calls
    assert attributes(call) == {"heatmap": "false", **ALWAYS, "traceparent": TRACEPARENT}
    line = json.loads(capsys.readouterr().out)
    assert (line["traceparent"], line["request_id"]) == (TRACEPARENT, REQUEST_ID)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "PLANTED",
        TRACEPARENT.upper(),
        f"{TRACEPARENT};heatmap=true",
        f"{TRACEPARENT}\r\nx: y",
        TRACEPARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16),
        "ff" + TRACEPARENT[2:],
        "00" + TRACEPARENT * 1000,
    ],
    ids=lambda given: given[:80],
)
def test_an_invalid_trace_is_ignored(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    assert send(event("predict_image", headers={"traceparent": given})).status == 200
    assert attributes(sagemaker.calls[0]) == {"heatmap": "false", **ALWAYS}
    assert json.loads(capsys.readouterr().out)["traceparent"] is None


@pytest.mark.parametrize("header", ["content-type", "CONTENT-TYPE"])
@pytest.mark.parametrize("content_type", [*IMAGE_TYPES, *OTHER_NAMES, "IMAGE/JPEG", "image/png; name=x"])
def test_each_image_type_is_accepted(
    send: Send, sagemaker: FakeSageMaker, header: str, content_type: str
) -> None:
    assert send(event("predict_image", headers={"content-type": None, header: content_type})).status == 200
    assert sagemaker.calls[0].body == JPEG


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (event("predict_image", body=b""), 400, "no body"),
        (event("predict_image", headers={"content-type": None}), 415, "Content-Type is missing"),
        ({**event("predict_image"), "isBase64Encoded": False}, 415, "did not arrive as bytes"),
        *(
            ({**event("predict_image"), "body": body}, 400, "not valid base64")
            for body in ("/9j/4AAQSkZJRg=", "/9j/4AAQ<SkZJRg==", "\u00e9")
        ),
        (in_a_form("image", b""), 400, "empty"),
        (in_a_form("file", JPEG), 400, '0 parts named "image"'),
        (event("predict_image", query={"heatmap": "yes\r\nx: y"}), 400, "heatmap"),
        (event("predict_image", query={"preview": "1"}), 400, "preview must be true or false"),
        *(
            (event("predict_image", query={"frame": frame}), 400, "frame must be a number from 1")
            for frame in ("", "0", "-1", "1.5", "+1", "1;heatmap=true", "\u0661", "1\n", "9" * 10)
        ),
        *(
            (event("predict_image", headers={"content-type": content_type}), 415, "")
            for content_type in ("text/plain", "image/gif", "application/json", "image/jpegx", ";", "\x00<b>")
        ),
    ],
)
def test_a_request_without_an_image_or_with_an_invalid_query_is_rejected(
    send: Send, sagemaker: FakeSageMaker, sent: Event, status: int, detail: str
) -> None:
    answer = send(sent)
    assert answer.status == status
    assert detail in answer.json["detail"]
    assert not sagemaker.calls


@pytest.mark.parametrize("as_form", [False, True])
def test_4_mib_are_accepted_and_one_byte_more_is_413(
    send: Send, sagemaker: FakeSageMaker, as_form: bool
) -> None:
    def post(image: bytes) -> int:
        return send(in_a_form("image", image) if as_form else event("predict_image", body=image)).status

    largest = os.urandom(4 * MIB)
    assert post(largest) == 200
    assert sagemaker.calls[0].body == largest
    assert post(largest + b"x") == 413
    assert len(sagemaker.calls) == 1
