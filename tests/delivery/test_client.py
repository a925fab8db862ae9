"""The generated client against a gateway that refuses, throttles, hangs up and answers rubbish."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts import client as module
from scripts.client import (
    Client,
    ForbiddenError,
    GatewayTimeoutError,
    MalformedAnswerError,
    NoAnswerError,
    ProblemError,
    ServiceUnavailableError,
    TooManyRequestsError,
    UnprocessableContentError,
)
from tests.delivery.fake_gateway import HEALTH, MODEL, PREDICTION, REQUEST_ID, FakeGateway, Reply, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

HANG_UP = Reply(hang_up=True)
HEATMAP = {"width": 2, "height": 1, "values": [[0.1, 1]]}


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().running() as fake:
        yield fake


@pytest.fixture
def client(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.01)
    with closing(Client(gateway.url, timeout_s=5, patience_s=5)) as client:
        yield client


def told(**members: object) -> Reply:
    return Reply(body=json.dumps({**PREDICTION, "request_id": REQUEST_ID, **members}).encode())


def test_a_prediction_is_typed(client: Client, gateway: FakeGateway) -> None:
    gateway.default = told(heatmap=HEATMAP, of_a_later_version="left out")

    prediction = client.predict(b"image", heatmap=True, traceparent="00-ab-cd-01")

    assert (prediction.label, prediction.class_, prediction.probability) == ("YES", 1, 0.93)
    assert prediction.model == module.Model(**MODEL)
    assert prediction.heatmap == module.Heatmap(width=2, height=1, values=[[0.1, 1.0]])
    assert prediction.request_id == REQUEST_ID
    (call,) = gateway.calls
    assert (call.target, call.body) == ("/stage/predict?heatmap=true", b"image")
    assert call.headers["content-type"] == "application/octet-stream"
    assert call.headers["traceparent"] == "00-ab-cd-01"


def test_health_is_typed(client: Client) -> None:
    health = client.health()

    assert (health.status, health.model.kind, health.model.gates_failed) == ("ok", "images", [])
    assert health.model.sha256 == HEALTH["model"]["sha256"]  # type: ignore[index]


def test_a_refusal_is_an_error_of_its_own_with_the_scores(client: Client, gateway: FakeGateway) -> None:
    gateway.default = problem(422, "No brain.", score=0.02, score_threshold=0.37)

    with pytest.raises(UnprocessableContentError, match=r"422 Its title: No brain\.") as refused:
        client.predict(b"image")

    told = refused.value.problem
    assert (told.score, told.score_threshold, told.request_id) == (0.02, 0.37, REQUEST_ID)
    assert len(gateway.calls) == 1, "what will not pass is not asked again"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422, 429, 500, 502, 503, 504])
def test_every_status_has_its_class(client: Client, gateway: FakeGateway, status: int) -> None:
    gateway.default = problem(status)

    with pytest.raises(ProblemError) as raised:
        client.predict(b"image")

    assert type(raised.value) is module.PROBLEMS[status]
    assert type(raised.value) is not ProblemError


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b""),
        Reply(body=b"<html>"),
        Reply(body=b"[]"),
        Reply(body=b"null"),
        Reply(media_type="text/html", body=b"<html>"),
        Reply(301, headers={"Location": "https://elsewhere.example"}),
        Reply(403, b"<html>", "text/html"),
        Reply(418, b"{}", "application/problem+json"),
        Reply(400, b'{"type": "about:blank", "status": "400"}', "application/problem+json"),
        told(label="MAYBE"),
        told(probability="0.9"),
        told(probability=True),
        told(probability=None),
        told(model=None),
        told(model={"name": "x"}),
        told(heatmap={"width": 1, "height": 1, "values": [1.0]}),
        told(heatmap={"width": 1.5, "height": 1, "values": []}),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:90]!r}",
)
def test_what_is_not_of_the_contract_is_said_to_be_so(
    client: Client, gateway: FakeGateway, reply: Reply
) -> None:
    gateway.default = reply

    with pytest.raises(MalformedAnswerError):
        client.predict(b"image")


@pytest.mark.parametrize(
    "failure", [HANG_UP, problem(500), problem(502), problem(503), problem(504), problem(429)]
)
def test_what_may_pass_is_tried_again(client: Client, gateway: FakeGateway, failure: Reply) -> None:
    gateway.replies.extend([failure, failure])

    assert client.predict(b"image").label == "YES"
    assert [call.body for call in gateway.calls] == [b"image"] * 3


def test_what_does_not_pass_is_given_up(client: Client, gateway: FakeGateway) -> None:
    gateway.default = problem(504)

    with pytest.raises(GatewayTimeoutError):
        client.predict(b"image")
    assert len(gateway.calls) == 4


def test_a_far_end_that_only_hangs_up_is_no_answer(client: Client, gateway: FakeGateway) -> None:
    gateway.default = HANG_UP

    with pytest.raises(NoAnswerError, match=r"POST http://127.* got no answer"):
        client.predict(b"image")
    assert len(gateway.calls) == 4


def test_nobody_listening_is_no_answer(client: Client) -> None:
    with pytest.raises(NoAnswerError, match="refused"):
        Client("http://127.0.0.1:9/", attempts=2).health()


def test_silence_is_no_answer(gateway: FakeGateway) -> None:
    gateway.default = Reply(delay_s=1)

    with pytest.raises(NoAnswerError, match="timed out"):
        Client(gateway.url, timeout_s=0.1, attempts=1).predict(b"image")


@pytest.mark.parametrize(("status", "kind"), [(429, TooManyRequestsError), (503, ServiceUnavailableError)])
def test_retry_after_is_obeyed(
    client: Client, gateway: FakeGateway, status: int, kind: type[ProblemError]
) -> None:
    gateway.replies.append(problem(status, retry_after=1))

    client.predict(b"image")

    first, second = gateway.calls
    assert second.at - first.at >= 1


def test_a_retry_after_beyond_all_patience_is_told_at_once(client: Client, gateway: FakeGateway) -> None:
    gateway.replies.append(problem(429, retry_after=3600))
    began = time.monotonic()

    with pytest.raises(TooManyRequestsError):
        client.predict(b"image")

    client.predict(b"image")  # and holds nobody else up
    assert time.monotonic() - began < 1


def test_patience_has_an_end(gateway: FakeGateway) -> None:
    gateway.default = problem(503, retry_after=1)

    with closing(Client(gateway.url, patience_s=1.5)) as client, pytest.raises(ServiceUnavailableError):
        client.predict(b"image")
    assert len(gateway.calls) == 2


def test_one_threads_retry_after_holds_all(client: Client, gateway: FakeGateway) -> None:
    # Given a client that was told to come back in a second
    gateway.replies.append(problem(429, retry_after=1))
    first = threading.Thread(target=client.predict, args=(b"first",))
    first.start()
    while not gateway.calls:
        time.sleep(0.01)
    time.sleep(0.1)  # until the answer was read

    # When another thread asks
    client.predict(b"second")
    first.join()

    # Then it waits too
    assert all(call.at - gateway.calls[0].at >= 1 for call in gateway.calls[1:])


def test_a_connection_is_kept_and_made_anew_where_it_was_dropped(
    client: Client, gateway: FakeGateway
) -> None:
    for _ in range(3):
        client.predict(b"image")
    assert gateway.connections == 1

    # Given a far end that drops it with the next request
    gateway.replies.append(HANG_UP)

    # When one comes, nobody waits or notices
    client.predict(b"image")
    assert gateway.connections == 2


def test_closing_ends_what_waits(client: Client, gateway: FakeGateway) -> None:
    gateway.default = Reply(delay_s=3)
    outcome: list[Exception] = []

    def ask() -> None:
        try:
            client.predict(b"image")
        except NoAnswerError as error:
            outcome.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    while not gateway.calls:
        time.sleep(0.01)
    client.close()
    waiting.join(timeout=1)

    assert not waiting.is_alive()
    assert len(outcome) == 1


def test_each_way_to_show_who_one_is(gateway: FakeGateway) -> None:
    Client(gateway.url, api_key="the key").predict(b"image")
    Client(gateway.url, access_token="the token").predict(b"image")
    Client(
        gateway.url, sign=lambda method, url, headers, body: {**headers, "Signed": f"{method} {url} {body!r}"}
    ).predict(b"image")

    by_key, by_token, signed = (call.headers for call in gateway.calls)
    assert (by_key["x-api-key"], by_token["authorization"]) == ("the key", "Bearer the token")
    assert signed["signed"] == f"POST {gateway.url}/predict?heatmap=false b'image'"


def test_not_being_let_in_is_not_tried_again(client: Client, gateway: FakeGateway) -> None:
    gateway.default = problem(403)

    with pytest.raises(ForbiddenError):
        client.predict(b"image")
    assert len(gateway.calls) == 1


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org", "http://", "http://x/?a=b", "/v1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the address of an API"):
        Client(url)
