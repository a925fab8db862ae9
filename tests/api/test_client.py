"""The published client against a gateway that refuses, throttles, hangs up and breaks the contract."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts import client as module
from scripts.client import (
    Client,
    GatewayTimeoutError,
    MalformedAnswerError,
    NoAnswerError,
    ServiceUnavailableError,
    TooManyRequestsError,
    UnprocessableContentError,
)
from tests.api.fake_gateway import REQUEST_ID, prediction, problem
from tests.gateway.sagemaker import LOW, MODEL
from tests.http_server import Reply

if TYPE_CHECKING:
    from tests.api.fake_gateway import FakeGateway

HANG_UP = Reply(hang_up=True)


def test_a_prediction_is_typed(client: Client, gateway: FakeGateway) -> None:
    heatmap = {"width": 2, "height": 1, "values": [[0.1, 1]]}
    gateway.default = prediction(heatmap=heatmap, **LOW, of_a_later_version="ignored")
    found = client.predict(b"image", heatmap=True, traceparent="00-ab-cd-01")
    assert (found.label, found.class_, found.probability) == ("YES", 1, 0.93)
    assert found.model == module.Model(**MODEL)
    assert found.heatmap == module.Heatmap(width=2, height=1, values=[[0.1, 1.0]])
    assert (found.reliability, found.reasons) == ("low", LOW["reasons"])
    assert found.request_id == REQUEST_ID
    (call,) = gateway.calls
    assert (call.target, call.body) == ("/stage/predict?heatmap=true", b"image")
    assert call.headers["content-type"] == "application/octet-stream"
    assert call.headers["traceparent"] == "00-ab-cd-01"


def test_a_refusal_is_an_error_of_its_own_with_the_scores(client: Client, gateway: FakeGateway) -> None:
    gateway.default = problem(422, "No brain.", score=0.02, score_threshold=0.37)
    with pytest.raises(UnprocessableContentError, match=r"422 Its title: No brain\.") as raised:
        client.predict(b"image")
    refusal = raised.value.problem
    assert (refusal.score, refusal.score_threshold, refusal.request_id) == (0.02, 0.37, REQUEST_ID)
    assert len(gateway.calls) == 1, "a permanent failure is not retried"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>"),
        Reply(body=b"[]"),
        Reply(media_type="text/html", body=b"<html>"),
        Reply(301, headers={"Location": "https://elsewhere.example"}),
        Reply(403, b"<html>", "text/html"),
        Reply(418, b"{}", "application/problem+json"),
        Reply(400, b'{"type": "about:blank", "status": "400"}', "application/problem+json"),
        prediction(label="MAYBE"),
        prediction(probability=True),
        prediction(probability=None),
        prediction(model={"name": "x"}),
        prediction(reliability="fair"),
        prediction(heatmap={"width": 1, "height": 1, "values": [1.0]}),
        prediction(heatmap={"width": 1.5, "height": 1, "values": []}),
    ],
    ids=lambda reply: f"{reply.status} {(reply.body or b'')[:90]!r}",
)
def test_an_answer_that_breaks_the_contract_is_an_error(
    client: Client, gateway: FakeGateway, reply: Reply
) -> None:
    gateway.default = reply
    with pytest.raises(MalformedAnswerError):
        client.predict(b"image")


@pytest.mark.parametrize(
    "failure", [HANG_UP, problem(500), problem(502), problem(503), problem(504), problem(429)]
)
def test_a_transient_failure_is_retried_and_announced(gateway: FakeGateway, failure: Reply) -> None:
    announced: list[str] = []
    gateway.replies.extend([failure, failure])
    client = Client(gateway.url, on_retry=lambda reason, _pause: announced.append(reason))
    with closing(client):
        assert client.predict(b"image").label == "YES"
    assert [call.body for call in gateway.calls] == [b"image"] * 3
    assert len(announced) == 2
    assert all(("no answer" if failure.hang_up else str(failure.status)) in reason for reason in announced)


@pytest.mark.parametrize(("failure", "kind"), [(problem(504), GatewayTimeoutError), (HANG_UP, NoAnswerError)])
def test_retries_are_bounded(
    client: Client, gateway: FakeGateway, failure: Reply, kind: type[Exception]
) -> None:
    gateway.default = failure
    with pytest.raises(kind):
        client.predict(b"image")
    assert len(gateway.calls) == 4


def test_a_refused_connection_is_no_answer() -> None:
    with pytest.raises(NoAnswerError, match="refused"):
        Client("http://127.0.0.1:9/", attempts=2).health()


def test_silence_is_no_answer(gateway: FakeGateway) -> None:
    gateway.default = Reply(delay_s=1)
    with pytest.raises(NoAnswerError, match="timed out"):
        Client(gateway.url, timeout_s=0.1, attempts=1).predict(b"image")


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_and_costs_no_attempt(
    client: Client, gateway: FakeGateway, status: int
) -> None:
    gateway.replies.extend(problem(status, retry_after=after) for after in (1, 0, 0, 0, 0, 0))
    assert client.predict(b"image").label == "YES"
    first, second, *others = gateway.calls
    assert second.at - first.at >= 1
    assert len(others) == 5


def test_a_retry_after_beyond_the_limit_fails_and_delays_no_other_call(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.replies.append(problem(429, retry_after=3600))
    with pytest.raises(TooManyRequestsError):
        client.predict(b"image")
    assert client.predict(b"image").label == "YES"  # otherwise this waits for an hour


def test_patience_has_an_end(gateway: FakeGateway) -> None:
    gateway.default = problem(503, retry_after=1)
    with closing(Client(gateway.url, patience_s=1.5)) as client, pytest.raises(ServiceUnavailableError):
        client.predict(b"image")
    assert len(gateway.calls) == 2


def test_a_retry_after_holds_back_all_threads(client: Client, gateway: FakeGateway) -> None:
    gateway.replies.append(problem(429, retry_after=1))
    with ThreadPoolExecutor(1) as threads:
        throttled = threads.submit(client.predict, b"first")
        while client._not_before == 0:
            time.sleep(0.01)
        client.predict(b"second")
        throttled.result()
    assert all(call.at - gateway.calls[0].at >= 1 for call in gateway.calls[1:])


def test_a_connection_is_kept_and_replaced_when_it_was_dropped(client: Client, gateway: FakeGateway) -> None:
    for _ in range(3):
        client.predict(b"image")
    assert gateway.connections == 1
    gateway.replies.append(HANG_UP)
    client.predict(b"image")
    assert gateway.connections == 2


def test_closing_ends_pending_calls(client: Client, gateway: FakeGateway) -> None:
    gateway.default = Reply(delay_s=60)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.predict, b"image")
        while not gateway.calls:
            time.sleep(0.01)
        client.close()
        with pytest.raises(NoAnswerError):
            waiting.result(timeout=30)


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ("", None),
        ("ada:se%3Acr%C3%A9t@", "YWRhOnNlOmNyw6l0"),  # ada:se:crét
        ("ada@", "YWRhOg=="),
    ],
)
def test_a_proxys_credentials_are_sent(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, user: str, header: str | None
) -> None:
    gateway.default = Reply(407)
    monkeypatch.setattr(module, "proxy_bypass", lambda _: False)
    monkeypatch.setenv("https_proxy", gateway.url.replace("//", f"//{user}"))
    with pytest.raises(NoAnswerError, match="407"):
        Client("https://api.example.org/v1", attempts=1).health()
    (call,) = gateway.calls
    assert (call.method, call.target) == ("CONNECT", "api.example.org:443")
    assert call.headers.get("proxy-authorization") == (f"Basic {header}" if header else None)


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org", "http://", "http://x/?a=b", "/v1"])
def test_a_malformed_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of an API"):
        Client(url)
