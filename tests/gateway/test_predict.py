"""POST /predict: what is taken, what reaches the endpoint and what comes back."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.gateway.events import event, form, form_type
from tests.gateway.sagemaker import PREDICTION

if TYPE_CHECKING:
    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

MIB = 1024 * 1024
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
JPEG = bytes.fromhex("ffd8ffe000104a464946")


@pytest.mark.parametrize("name", ["predict_image", "predict_image_with_heatmap", "predict_form"])
def test_image_reaches_the_endpoint_and_its_answer_comes_back(
    send: Send, sagemaker: FakeSageMaker, name: str
) -> None:
    # Given an event as API Gateway makes it
    asked = event(name)

    # When it is handled
    answer = send(asked)

    # Then the endpoint got the very bytes and its answer comes back, named by the request's id
    (call,) = sagemaker.calls
    assert call.body == JPEG
    assert call.path == "/endpoints/tumor-detector-test-real-time/invocations"
    assert answer.json == {**PREDICTION, "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "asked"),
    [({}, "false"), ({"heatmap": "false"}, "false"), ({"heatmap": "true"}, "true")],
)
def test_heatmap_is_asked_for_only_where_the_query_says_true(
    send: Send, sagemaker: FakeSageMaker, query: dict[str, str], asked: str
) -> None:
    send(event("predict_image", query=query))

    assert sagemaker.calls[0].attributes["heatmap"] == asked


def test_a_trace_is_handed_on_to_the_endpoint_and_into_the_log(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    send(event("predict_image", headers={"Traceparent": TRACEPARENT}))

    (call,) = sagemaker.calls
    assert call.attributes == {"heatmap": "false", "request_id": REQUEST_ID, "traceparent": TRACEPARENT}
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
def test_what_is_no_trace_is_ignored(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    assert send(event("predict_image", headers={"traceparent": given})).status == 200

    assert sagemaker.calls[0].attributes == {"heatmap": "false", "request_id": REQUEST_ID}
    assert json.loads(capsys.readouterr().out)["traceparent"] is None


def test_heatmap_neither_true_nor_false_is_400(send: Send, sagemaker: FakeSageMaker) -> None:
    assert send(event("predict_image", query={"heatmap": "yes\r\nx: y"})).status == 400
    assert not sagemaker.calls


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/png", "application/octet-stream", "IMAGE/JPEG", "image/png; name=x"]
)
def test_each_image_type_is_taken(send: Send, sagemaker: FakeSageMaker, content_type: str) -> None:
    assert send(event("predict_image", headers={"content-type": content_type})).status == 200
    assert sagemaker.calls[0].body == JPEG


def test_header_names_are_taken_in_any_case(send: Send) -> None:
    assert (
        send(event("predict_image", headers={"content-type": None, "CONTENT-TYPE": "image/png"})).status
        == 200
    )


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("predict_without_body", 400, "no body"),
        ("predict_without_content_type", 415, "Content-Type is missing"),
        ("predict_decoded_as_text", 415, "did not arrive as bytes"),
    ],
)
def test_events_without_an_image_are_refused(
    send: Send, sagemaker: FakeSageMaker, name: str, status: int, says: str
) -> None:
    answer = send(event(name))

    assert answer.status == status
    assert says in answer.json["detail"]
    assert not sagemaker.calls


@pytest.mark.parametrize(
    "content_type", ["text/plain", "image/gif", "application/json", "image/jpegx", ";", "\x00<b>"]
)
def test_another_content_type_is_415(send: Send, sagemaker: FakeSageMaker, content_type: str) -> None:
    assert send(event("predict_image", headers={"content-type": content_type})).status == 415
    assert not sagemaker.calls


def test_an_empty_body_without_content_type_is_400(send: Send) -> None:
    assert send(event("predict_without_body", headers={"content-type": None})).status == 400


def test_an_empty_part_is_400(send: Send) -> None:
    answer = send(event("predict_form", headers=form_type(), body=form(("image", b""))))

    assert answer.status == 400
    assert "empty" in answer.json["detail"]


def test_a_form_without_the_part_is_400(send: Send) -> None:
    answer = send(event("predict_form", headers=form_type(), body=form(("file", JPEG))))

    assert answer.status == 400
    assert '"image"' in answer.json["detail"]


@pytest.mark.parametrize("body", ["/9j/4AAQSkZJRg=", "/9j/4AAQ<SkZJRg==", "\u00e9"])
def test_body_announced_as_base64_that_is_none_is_400(send: Send, body: str) -> None:
    broken = event("predict_image")
    broken["body"] = body

    assert send(broken).status == 400


@pytest.mark.parametrize("as_form", [False, True])
def test_4_mib_are_taken_and_one_byte_more_is_413(
    send: Send, sagemaker: FakeSageMaker, as_form: bool
) -> None:
    def post(image: bytes) -> int:
        if as_form:
            return send(event("predict_form", headers=form_type(), body=form(("image", image)))).status
        return send(event("predict_image", body=image)).status

    # Given the largest image and one that is a byte larger
    largest = os.urandom(4 * MIB)

    # When and then
    assert post(largest) == 200
    assert sagemaker.calls[0].body == largest
    assert post(largest + b"x") == 413
    assert len(sagemaker.calls) == 1
