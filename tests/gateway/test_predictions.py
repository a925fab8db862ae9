"""Predictions that are answered later: what S3 holds decides, and every answer follows the contract."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from infra.lambdas.gateway.predictions import LOST_S, MAX_ANSWER_BYTES, MAX_UPLOAD_BYTES, UPLOAD_S
from tests.gateway import sagemaker as fake
from tests.gateway.events import event
from tests.gateway.label_store import FakeStore, s3_error
from tests.http_server import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.gateway.conftest import Answer, Send
    from tests.gateway.sagemaker import FakeSageMaker

BUCKET = "later"
PROBLEM = {"type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": "No brain."}
PLACES = {"X-Amzn-SageMaker-OutputLocation": f"s3://{BUCKET}/answers/1.out"}
QUEUED = Reply(
    202, b"{}", headers={**PLACES, "X-Amzn-SageMaker-FailureLocation": f"s3://{BUCKET}/failures/1"}
)


class Store(FakeStore):
    """Reads and lists objects as well."""

    def answer(self, call: Call) -> Reply:
        path, _, query = call.target.partition("?")
        if call.method != "GET" or self.failures:
            return super().answer(call)
        if "prefix" in query:
            keys = "<Contents><Key>k</Key></Contents>" * any("/images/" in each for each in self.objects)
            return Reply(200, f"<ListBucketResult>{keys}</ListBucketResult>".encode(), "text/xml")
        found = self.objects.get(path)
        return s3_error("NoSuchKey", 404) if found is None else Reply(200, found)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store().running() as running:
        yield running


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"ASYNC_BUCKET": BUCKET, "REQUEST_ID_KEY": "secret-of-a-test"}


@pytest.fixture
def running(send: Send, sagemaker: FakeSageMaker) -> str:
    """The id of an image that is queued."""
    sagemaker.default = QUEUED
    answer = send(event("predict_image", path="/predictions"))
    assert (answer.status, answer.json["status"], answer.headers["Retry-After"]) == (202, "running", "2")
    return str(answer.json["id"])


def begin(send: Send, kind: str = "application/dicom", **query: str) -> Answer:
    headers = {"content-type": kind}
    return send(event("get_page", method="POST", path="/predictions", headers=headers, query=query))


def ask(send: Send, id_: str, method: str = "GET") -> Answer:
    return send(event("get_page", method=method, path=f"/predictions/{id_}"))


def answered(store: Store, content: object, *, at: str = "answers/1.out") -> None:
    store.objects[f"/{BUCKET}/{at}"] = content if isinstance(content, bytes) else json.dumps(content).encode()


def test_an_upload_is_queued_once(send: Send, sagemaker: FakeSageMaker, store: Store) -> None:
    # Given a form for an upload, which allows one type and size for one key
    begun = begin(send, frame="all", heatmap="true").json
    id_, form = begun["id"], begun["upload_fields"]
    policy: Any = json.loads(base64.b64decode(form["policy"]))
    assert ["content-length-range", 1, MAX_UPLOAD_BYTES] in policy["conditions"]
    assert {"Content-Type": "application/dicom"} in policy["conditions"]
    assert (form["key"], begun["status_url"]) == (f"images/{id_}", f"predictions/{id_}")
    # When it is asked for too early, then uploaded, and asked for twice
    assert ask(send, id_).json["status"] == "waiting"
    assert (ask(send, id_, "POST").status, sagemaker.calls) == (409, [])
    answered(store, b"scan", at=f"images/{id_}")
    sagemaker.default = QUEUED
    assert [ask(send, id_, "POST").json["status"] for _ in range(2)] == ["running"] * 2
    # Then it was queued once, with what was wanted of it
    (call,) = sagemaker.calls
    assert call.headers["x-amzn-sagemaker-inputlocation"] == f"s3://{BUCKET}/images/{id_}"
    wanted = fake.attributes(call)
    assert (wanted["frame"], wanted["heatmap"], wanted["request_id"]) == ("all", "true", id_)
    answered(store, b'{"frame": 1, "status": 422, "detail": "No."}\n' + json.dumps(fake.PREDICTION).encode())
    answer = ask(send, id_)
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert [json.loads(line)["request_id"] for line in answer.text.splitlines()] == [id_, id_]


def test_an_image_of_few_bytes_is_answered_as_at_once(
    send: Send, store: Store, running: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(send, running).json["status"] == "running"
    answered(store, {**fake.PREDICTION, "statistics": {"format": "png", "side": 3.0}})
    assert ask(send, running).json == {**fake.PREDICTION, "request_id": running}
    logged = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert logged["watched"]["request_id"] == running != logged["request_id"]


@pytest.mark.parametrize(
    ("places", "status"),
    [
        ({"answers/1.out": PROBLEM}, 422),
        ({"answers/1.out": b" " * (MAX_ANSWER_BYTES + 1)}, 422),
        ({"answers/1.out": b"no JSON"}, 502),
        ({"failures/1": {"failureReason": "of the container"}}, 502),
    ],
)
def test_what_went_wrong_is_told(
    send: Send, store: Store, running: str, places: dict[str, object], status: int
) -> None:
    for at, content in places.items():
        answered(store, content, at=at)
    answer = ask(send, running)
    assert (answer.status, "of the container" in answer.text) == (status, False)


def test_what_expired_or_was_lost_is_gone_and_what_was_never_given_unknown(
    send: Send, store: Store, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + LOST_S + 1
    monkeypatch.setattr("infra.lambdas.gateway.predictions.time.time", lambda: later)
    assert ask(send, running).status == 410
    store.objects.clear()
    assert ask(send, running).status == 410
    assert ask(send, running[:-1] + "g").status == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_upload_that_did_not_come_in_time_is_gone(
    send: Send, store: Store, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, later = begin(send).json["id"], time.time() + UPLOAD_S + 1
    monkeypatch.setattr("infra.lambdas.gateway.predictions.time.time", lambda: later)
    assert ask(send, id_, method).status == 410


def test_a_wrong_request_gets_no_form(send: Send, store: Store) -> None:
    answers = [begin(send, "application/json"), begin(send, frame="every"), begin(send, heatmap="maybe")]
    assert [each.status for each in answers] == [415, 400, 400]
    assert not store.objects


def test_nothing_is_answered_at_once(handler: ModuleType) -> None:
    answer = handler.handle(event("predict_image"), None)
    assert (answer["statusCode"], "POST /predictions" in answer["body"]) == (404, True)


def test_without_s3_or_the_endpoint_it_may_be_tried_again(
    send: Send, sagemaker: FakeSageMaker, store: Store, running: str
) -> None:
    store.failures = [s3_error("AccessDenied", 403)] * 2
    assert [ask(send, running).status, begin(send).status] == [503, 503]
    sagemaker.default = fake.error("ValidationError")
    assert send(event("predict_image", path="/predictions")).status == 503


def test_without_the_key_of_its_id_nothing_is_begun(send: Send, store: Store) -> None:
    store.secret = Reply(400, b'{"__type": "AccessDeniedException", "message": "denied"}')
    assert begin(send).status == 503
    assert not store.objects
