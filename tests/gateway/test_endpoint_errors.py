"""Whatever the endpoint does, the answer is a problem of the contract that reveals nothing internal."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import TYPE_CHECKING

import pytest

from infra.lambdas.gateway import endpoint
from infra.lambdas.gateway.routes import predict
from tests.gateway.conftest import MODEL
from tests.gateway.events import event
from tests.gateway.sagemaker import error, model_error, prediction, refusal
from tests.http_server import Reply

if TYPE_CHECKING:
    from types import ModuleType

    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

IMAGE = event("predict_image")
PROBLEM = {"type", "title", "status", "detail", "request_id"}
ODD = "The image is <b>odd</b>."
UNREADABLE = ("", '{"detail": "cut sho', "[]", "null", '{"title": "no detail"}')
PNG, BOX = "iVBORw0KGgoAAAANSUhEUg==", [0, 0.5, 10, 20]
INVALID_PREVIEWS = (
    *(None, "iVBORw0KGgo", {}, {"png": PNG}, {"box": BOX}, {"png": PNG, "box": BOX, "more": 1}),
    *({"png": each, "box": BOX} for each in (None, "", "R0lGODlhAQABAAAAACw=", f"{PNG}\n", f"{PNG}<b>")),
    *({"png": PNG, "box": each} for each in (None, [], [0, 0, 1], [0, 0, 1, 1, 1], ["0", 0, 1, 1])),
    *({"png": PNG, "box": each} for each in ([True, 0, 2, 2], [-1, 0, 1, 1], [1, 0, 1, 1], [0, 2, 1, 1])),
    {"png": PNG, "box": [0, 0, 1, math.inf]},
)
TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


@pytest.mark.parametrize(
    ("status", "message", "detail"),
    [
        *((each, json.dumps({"detail": ODD}), ODD) for each in (400, 413, 415, 422)),
        *((422, each, "The image was not accepted.") for each in UNREADABLE),
    ],
)
def test_the_containers_rejection_of_an_image_is_passed_on(
    send: Send, sagemaker: FakeSageMaker, status: int, message: str, detail: str
) -> None:
    sagemaker.default = model_error(status, message)
    answer = send(IMAGE)
    assert (answer.status, answer.json["detail"]) == (status, detail)


def test_a_refusals_scores_are_passed_on(send: Send, sagemaker: FakeSageMaker) -> None:
    scores = {"score": 0.0213, "score_threshold": 0.37}
    sagemaker.default = refusal("No brain.", **scores, host="10.0.0.1")
    answer = send(IMAGE)
    assert answer.json.items() >= scores.items()
    assert answer.json.keys() == {*PROBLEM, *scores}


@pytest.mark.parametrize(
    ("status", "members"),
    [
        (422, {}),
        (422, {"score": 0.02}),
        (422, {"score": "0.02", "score_threshold": 0.37}),
        (422, {"score": True, "score_threshold": 0.37}),
        (422, {"score": 1.5, "score_threshold": 0.37}),
        (422, {"score": float("nan"), "score_threshold": 0.37}),
        (400, {"score": 0.02, "score_threshold": 0.37}),
    ],
    ids=str,
)
def test_invalid_scores_are_not_passed_on(
    send: Send, sagemaker: FakeSageMaker, status: int, members: dict[str, object]
) -> None:
    sagemaker.default = model_error(status, json.dumps({"detail": "No brain.", **members}))
    answer = send(IMAGE)
    assert (answer.status, answer.json["detail"]) == (status, "No brain.")
    assert answer.json.keys() == PROBLEM


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (model_error(500, "Traceback (most recent call last): secret"), 502),
        (model_error(0, "the model process exited."), 502),
        (model_error(0, TIMED_OUT), 504),
        (model_error(504, ""), 504),
        (model_error(429, ""), 429),
        (model_error(503, "draining"), 503),
        (error("ThrottlingException"), 429),
        (error("TooManyRequestsException", status=429), 429),
        (error("ValidationError", Message="Endpoint x of account 000000000000 not found."), 503),
        (error("ModelNotReadyException", status=429), 503),
        (error("ServiceUnavailable", status=503), 503),
        (error("InternalFailure", status=500), 502),
        (error("SomethingNew", status=418), 502),
        (Reply(502, b"<html><body>Bad Gateway</body></html>", "text/html"), 502),
        (Reply(body=b""), 502),
        (Reply(body=b"\xff\xfe\x00"), 502),
        (Reply(body=b"[]"), 502),
        (Reply(body=b'{"label": "YES"}'), 502),
        (prediction(probability=float("nan")), 502),
        (prediction(probability=True), 502),
        (prediction(label=["YES"]), 502),
        (prediction(**{"class": 7}), 502),
        (prediction(model={"name": "tumor-detector"}), 502),
        (prediction(heatmap="bright"), 502),
        *((prediction(preview=each), 502) for each in INVALID_PREVIEWS),
        *((prediction(statistics=each), 502) for each in (None, {}, {"format": "PLANTED"})),
        (prediction(statistics={"format": "png", "side": "PLANTED"}), 502),
        (prediction(heatmap={"width": 1, "height": 1, "values": [[0.5] * 400_000]}), 502),
        (prediction(reliability="low"), 502),
        (prediction(reliability=None), 502),
        (prediction(reliability="low", reasons=[]), 502),
        (prediction(reliability="low", reasons=["One.", 2]), 502),
        (prediction(reliability="fair", reasons=["One."]), 502),
        (prediction(reasons=["One."]), 502),
        (Reply(body=b"[" * 100_000), 502),
        (model_error(422, "[" * 100_000), 422),
        (Reply(hang_up=True), 502),
        (Reply(cut_short=True), 502),
    ],
)
def test_each_failure_of_the_endpoint_has_its_status(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str], reply: Reply, status: int
) -> None:
    sagemaker.default = reply
    answer = send(IMAGE)
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert "Traceback" not in answer.text
    assert "from the fake" not in answer.text
    assert "PLANTED" not in capsys.readouterr().out


def test_a_late_answer_is_504_and_not_retried(
    send: Send, handler: ModuleType, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "READ_TIMEOUT_S", 0.2)
    impatient = endpoint.Endpoint(handler.SETTINGS.endpoint_name)
    monkeypatch.setitem(handler.ROUTES, "/predict", {"POST": partial(predict, endpoint=impatient)})
    sagemaker.replies.append(Reply(delay_s=1.0))
    assert send(IMAGE).status == 504
    assert len(sagemaker.calls) == 1
    assert send(IMAGE).status == 200


def test_the_endpoints_time_limit_is_below_api_gateways() -> None:
    assert endpoint.STALE_WITHIN_S + endpoint.CONNECT_TIMEOUT_S + endpoint.READ_TIMEOUT_S < 29


def test_a_dropped_connection_is_replaced(send: Send, sagemaker: FakeSageMaker) -> None:
    assert send(IMAGE).status == 200
    sagemaker.replies.append(Reply(hang_up=True))
    assert send(IMAGE).status == 200
    assert len(sagemaker.calls) == 3


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, 200) for status in ("InService", "Updating", "SystemUpdating", "RollingBack")),
        *((status, 503) for status in ("Creating", "Failed", "OutOfService", "Deleting")),
        (error("ValidationException", Message="Could not find endpoint"), 503),
        (error("ThrottlingException"), 429),
        (error("AccessDeniedException"), 502),
    ],
)
def test_health_is_ok_while_the_endpoint_is_in_service(
    send: Send, sagemaker: FakeSageMaker, status: str | Reply, code: int
) -> None:
    sagemaker.status = status
    answer, head = (send(event("get_page", path="/health", method=method)) for method in ("GET", "HEAD"))
    assert answer.status == code
    assert (head.status, head.text) == (code, "")
    if code == 200:
        assert answer.json == {"status": "ok", "model": MODEL}
        assert answer.headers["Cache-Control"] == "no-store"


def test_an_error_in_the_handler_is_500_and_only_the_log_has_the_traceback(
    send: Send, handler: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "PLANTED"

    def broken(_request: object) -> None:
        raise RuntimeError(secret)

    monkeypatch.setitem(handler.ROUTES, "/health", {"GET": broken})
    answer = send(event("get_page", path="/health"))
    assert answer.status == 500
    assert "RuntimeError" not in answer.text
    log = capsys.readouterr().out
    assert "RuntimeError" in log
    assert "broken" in log
    assert secret not in log


def test_the_log_has_one_json_line_per_request_and_no_text_from_the_sender(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given requests with a marker wherever a sender can put text
    marker = "PLANTED"
    senders = dict.fromkeys(("authorization", "x-api-key", "user-agent"), marker)
    headers = {"content-type": "image/png", **senders}
    events = [
        event("predict_image", headers=headers, body=marker.encode() * 100, query={marker: marker}),
        event("predict_image", headers={"content-type": marker}, body=marker.encode()),
        event("get_page", path=f"/{marker}", headers=headers),
    ]
    for each in events:
        send(each)
    # Then each has one line, without the marker in any form
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["status"] for line in lines] == [200, 415, 404]
    assert all(json.loads(line)["request_id"] for line in lines)
    assert marker not in "".join(lines)
    assert "UExBTlRFRA" not in "".join(lines)
