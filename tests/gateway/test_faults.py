"""Whatever the endpoint does, the answer is a problem of the contract, in time and without its insides."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

import routes
from endpoint import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, STALE_WITHIN_S, Endpoint
from tests.gateway.conftest import MODEL
from tests.gateway.events import event
from tests.gateway.sagemaker import PREDICTION, Reply, error, model_error

if TYPE_CHECKING:
    from types import ModuleType

    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

IMAGE = event("predict_image")
FORCED = {**MODEL, "gates_failed": ["beats_metadata"], "forced": "the committee's vote"}
TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


def container_problem(status: int, detail: str, **members: object) -> str:
    problem = {"type": "about:blank", "title": "Its title", "status": status, "detail": detail}
    return json.dumps(problem | members)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_the_container_says_of_the_image_comes_through(
    send: Send, sagemaker: FakeSageMaker, status: int
) -> None:
    # Given a container that refuses the image
    sagemaker.default = model_error(status, container_problem(status, "The image is <b>odd</b>."))

    # When it is asked
    answer = send(IMAGE)

    # Then its status and words come through
    assert (answer.status, answer.json["detail"]) == (status, "The image is <b>odd</b>.")
    assert answer.json["request_id"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


def test_a_refusals_scores_come_through(send: Send, sagemaker: FakeSageMaker) -> None:
    words = container_problem(422, "No brain.", score=0.0213, score_threshold=0.37, host="10.0.0.1")
    sagemaker.default = model_error(422, words)

    answer = send(IMAGE)

    assert answer.json == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "No brain.",
        "score": 0.0213,
        "score_threshold": 0.37,
        "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    }


@pytest.mark.parametrize(
    ("status", "members"),
    [
        (422, {}),
        (422, {"score": 0.02}),
        (422, {"score": "0.02", "score_threshold": 0.37}),
        (422, {"score": True, "score_threshold": 0.37}),
        (422, {"score": None, "score_threshold": None}),
        (422, {"score": 1.5, "score_threshold": 0.37}),
        (422, {"score": float("nan"), "score_threshold": 0.37}),
        (400, {"score": 0.02, "score_threshold": 0.37}),
    ],
    ids=str,
)
def test_what_are_no_scores_of_a_refusal_do_not(
    send: Send, sagemaker: FakeSageMaker, status: int, members: dict[str, object]
) -> None:
    sagemaker.default = model_error(status, container_problem(status, "No brain.", **members))

    answer = send(IMAGE)

    assert (answer.status, answer.json["detail"]) == (status, "No brain.")
    assert answer.json.keys() == {"type", "title", "status", "detail", "request_id"}


@pytest.mark.parametrize("message", ["", '{"detail": "cut sho', "[]", "null", '{"title": "no detail"}'])
def test_a_refusal_whose_words_were_lost_keeps_its_status(
    send: Send, sagemaker: FakeSageMaker, message: str
) -> None:
    sagemaker.default = model_error(422, message)

    answer = send(IMAGE)

    assert answer.status == 422
    assert answer.json["detail"] == "The image was not accepted."


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (model_error(500, "Traceback (most recent call last): secret"), 502),
        (model_error(404, "not found"), 502),
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
        (error("InternalDependencyException", status=530), 502),
        (error("AccessDeniedException", status=403), 502),
        (error("ExpiredTokenException", status=403), 502),
        (error("SomethingNew", status=418), 502),
        (Reply(502, b"<html><body>Bad Gateway</body></html>", {"Content-Type": "text/html"}), 502),
        (Reply(body=b""), 502),
        (Reply(body=b"<html>"), 502),
        (Reply(body=b"\xff\xfe\x00"), 502),
        (Reply(body=b"[]"), 502),
        (Reply(body=b'"YES"'), 502),
        (Reply(body=b'{"label": "YES"}'), 502),
        (Reply(body=json.dumps({**PREDICTION, "probability": float("nan")}).encode()), 502),
        (Reply(body=json.dumps({**PREDICTION, "probability": True}).encode()), 502),
        (Reply(body=json.dumps({**PREDICTION, "label": ["YES"]}).encode()), 502),
        (Reply(body=json.dumps({**PREDICTION, "class": 7}).encode()), 502),
        (Reply(body=json.dumps({**PREDICTION, "model": {"name": "tumor-detector"}}).encode()), 502),
        (Reply(body=json.dumps({**PREDICTION, "heatmap": "bright"}).encode()), 502),
        (Reply(body=b"[" * 100_000), 502),
        (model_error(422, "[" * 100_000), 422),
        (Reply(hang_up=True), 502),
        (Reply(cut_short=True), 502),
    ],
    ids=lambda value: (
        (value.headers.get("x-amzn-ErrorType", "") + str(value.body[:60])) if isinstance(value, Reply) else ""
    ),
)
def test_each_failure_of_the_endpoint_has_its_status(
    send: Send, sagemaker: FakeSageMaker, reply: Reply, status: int
) -> None:
    # Given an endpoint that fails every time
    sagemaker.default = reply

    # When it is asked
    answer = send(IMAGE)

    # Then the answer has the contract's status, tells when to come back and nothing of the inside
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert "Traceback" not in answer.text
    assert "said the fake" not in answer.text


def with_read_timeout(handler: ModuleType, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(handler.SETTINGS.endpoint_name, read_timeout=seconds)
    told = handler.SETTINGS
    table = routes.table(model=told.model, endpoint=endpoint, access=told.access)
    monkeypatch.setattr(handler, "ROUTES", table)


def test_a_late_answer_is_504_and_is_not_asked_for_again(
    send: Send, handler: ModuleType, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_read_timeout(handler, 0.2, monkeypatch)
    sagemaker.replies.append(Reply(delay_s=1.0))

    assert send(IMAGE).status == 504
    assert len(sagemaker.calls) == 1

    assert send(IMAGE).status == 200  # and the next request is fine


def test_the_endpoint_has_less_time_than_the_gateway() -> None:
    assert STALE_WITHIN_S + CONNECT_TIMEOUT_S + READ_TIMEOUT_S < 29


def test_a_kept_connection_that_was_dropped_is_made_anew(send: Send, sagemaker: FakeSageMaker) -> None:
    # Given a connection kept from an earlier request, which the far end then drops
    assert send(IMAGE).status == 200
    sagemaker.replies.append(Reply(hang_up=True))

    # When the next request comes
    answer = send(IMAGE)

    # Then nobody notices
    assert answer.status == 200
    assert len(sagemaker.calls) == 3


def test_nobody_listening_is_502(send: Send, handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{unused.getsockname()[1]}"
        )
        with_read_timeout(handler, 1.0, monkeypatch)

        assert send(IMAGE).status == 502


@pytest.mark.parametrize("status", ["InService", "Updating", "SystemUpdating", "RollingBack"])
def test_health_is_ok_while_the_endpoint_serves(send: Send, sagemaker: FakeSageMaker, status: str) -> None:
    sagemaker.status = status

    answer = send(event("get_health"))

    assert answer.json == {"status": "ok", "model": MODEL}
    assert answer.headers["Cache-Control"] == "no-store"


class TestForcedModel:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "MODEL": json.dumps(FORCED)}

    def test_health_says_why_it_serves(self, send: Send) -> None:
        assert send(event("get_health")).json == {"status": "ok", "model": FORCED}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("Creating", 503),
        ("Failed", 503),
        ("OutOfService", 503),
        ("Deleting", 503),
        (error("ValidationException", Message="Could not find endpoint"), 503),
        (error("ThrottlingException"), 429),
        (error("AccessDeniedException"), 502),
    ],
)
def test_health_is_a_problem_while_it_does_not(
    send: Send, sagemaker: FakeSageMaker, status: str | Reply, code: int
) -> None:
    sagemaker.status = status

    assert send(event("get_health")).status == code


def test_a_fault_of_the_handler_itself_is_500_and_only_the_log_says_where(
    send: Send, handler: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a handler with a mistake in it
    secret = "PLANTED"

    def mistaken(_request: object) -> None:
        raise RuntimeError(secret)

    monkeypatch.setitem(handler.ROUTES, "/health", {"GET": mistaken})

    # When a request meets it
    answer = send(event("get_health"))

    # Then the person reads that it failed, and the log where
    assert answer.status == 500
    assert "RuntimeError" not in answer.text
    log = capsys.readouterr().out
    assert "RuntimeError" in log
    assert "mistaken" in log
    assert secret not in log


def test_the_log_is_one_json_line_a_request_and_holds_nothing_of_the_image_or_the_sender(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given requests with a marker wherever a sender may write
    marker = "PLANTED"
    headers = {
        "content-type": "image/png",
        "authorization": marker,
        "x-api-key": marker,
        "user-agent": marker,
    }
    events = [
        event("predict_image", headers=headers, body=marker.encode() * 100, query={marker: marker}),
        event("predict_image", headers={"content-type": marker}, body=marker.encode()),
        event("get_unknown_path", path=f"/{marker}", headers=headers),
    ]

    # When they are handled
    for asked in events:
        send(asked)

    # Then each has its line, without the marker
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["status"] for line in lines] == [200, 415, 404]
    assert all(json.loads(line)["request_id"] for line in lines)
    assert marker not in "".join(lines)
    assert "UExBTlRFRA" not in "".join(lines)
