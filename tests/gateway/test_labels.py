"""Labels: kept once for the ids that were given, and nothing else; none of their notes in a log."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from infra.lambdas.gateway import metrics
from tests.gateway.events import event
from tests.gateway.label_store import FEEDBACK, FakeStore, s3_error
from tests.http_server import Reply

if TYPE_CHECKING:
    from types import ModuleType

    from infra.lambdas.gateway.proxy import Event
    from tests.gateway.conftest import Answer, Send
    from tests.gateway.sagemaker import FakeSageMaker

NOTE = "the note that no log may hold"
UUID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"  # of the events
DENIED = Reply(400, b'{"__type": "AccessDeniedException", "message": "denied"}')


@pytest.fixture
def environment(environment: dict[str, str], store: FakeStore) -> dict[str, str]:
    del store  # it is reset
    return environment | FEEDBACK


@pytest.fixture
def feedback() -> bool:
    return True


def label_event(
    request_id: str, *, caller: str | None = None, kind: str = "application/json", body: object = None
) -> Event:
    made = event(
        "get_page", method="POST", path=f"/predictions/{request_id}/label", headers={"Content-Type": kind}
    )
    made["body"] = body if isinstance(body, str) else json.dumps(body or {"label": "NO", "note": NOTE})
    made["requestContext"]["identity"] = {"apiKeyId": caller}
    return made


@pytest.fixture
def given(send: Send) -> str:
    """The id of a prediction."""
    return str(send(event("predict_image")).json["request_id"])


def kept(send: Send, given: str, **said: Any) -> Answer:
    return send(label_event(given, **said))


def test_a_predictions_id_has_a_check_wherever_it_is_named(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = send(event("predict_image"))
    request_id = answer.json["request_id"]
    assert request_id.startswith(f"{UUID}-")
    assert len(request_id) == len(UUID) + 13 <= 64
    assert answer.headers["X-Request-Id"] == request_id
    assert json.loads(capsys.readouterr().out)["request_id"] == request_id
    (call,) = sagemaker.calls
    assert call.headers["x-amzn-sagemaker-inference-id"] == request_id
    assert f"request_id={request_id}" in call.headers["x-amzn-sagemaker-custom-attributes"]


def test_other_requests_and_the_canary_keep_their_ids(send: Send, store: FakeStore) -> None:
    assert send(event("get_page", path="/health")).headers["X-Request-Id"] == UUID
    golden = event("predict_image")
    golden["requestContext"]["requestId"] = f"{metrics.UNCOUNTED}101"
    assert send(golden).json["request_id"] == "golden-101"
    assert store.reads == 0


@pytest.mark.parametrize("forged", ["a;heatmap=true", "x" * 52, "", "a/b", "\u00e4"])
def test_an_id_that_a_caller_has_made_up_is_replaced(handler: ModuleType, forged: str) -> None:
    made = event("predict_image")
    made["requestContext"]["requestId"] = forged
    answer = handler.handle(made, None)
    assert answer["statusCode"] == 200
    assert len(answer["headers"]["X-Request-Id"]) == len(UUID) + 13


def test_a_label_is_kept_once(send: Send, store: FakeStore, given: str) -> None:
    answers = [kept(send, given, caller="key-1") for _ in range(2)]
    assert [each.status for each in answers] == [200, 200]
    assert [each.json for each in answers] == [{"request_id": given, "label": "NO"}] * 2
    ((path, body),) = store.objects.items()
    assert path.startswith(f"/labels-of-a-test/labels/{given}/")
    members = json.loads(body)
    assert members.pop("time").endswith("Z")
    expected = {
        "request_id": given,
        "label": "NO",
        "note": NOTE,
        "model_sha256": "ab" * 32,
        "caller": "key-1",
    }
    assert members == expected
    assert store.reads == 1, "the key is read once"


def test_the_same_a_hundred_times_at_once_is_one_label(send: Send, store: FakeStore, given: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        statuses = set(pool.map(lambda _: kept(send, given).status, range(100)))
    assert (statuses, len(store.objects)) == ({200}, 1)


def test_second_opinions_are_kept_beside_the_first(send: Send, store: FakeStore, given: str) -> None:
    for caller, label in (("a", "YES"), ("a", "NO"), ("b", "NO"), (None, "NO"), ("b", "NO")):
        assert kept(send, given, caller=caller, body={"label": label}).status == 200
    found = [(each["caller"], each["label"]) for each in store.labels]
    assert found == [("a", "YES"), ("a", "NO"), ("b", "NO"), (None, "NO")]
    assert not any("note" in each for each in store.labels)


@pytest.mark.parametrize(
    ("context", "caller"),
    [
        ({"authorizer": {"claims": {"sub": "a person"}}, "identity": {"userArn": None}}, "a person"),
        ({"identity": {"userArn": "arn:of-a-role", "apiKeyId": None}}, "arn:of-a-role"),
        ({"authorizer": None, "identity": {}}, None),
    ],
)
def test_the_caller_is_whom_api_gateway_names(
    send: Send, store: FakeStore, given: str, context: dict[str, Any], caller: str | None
) -> None:
    made = label_event(given)
    made["requestContext"].update(context)  # type: ignore[typeddict-item]
    assert send(made).status == 200
    assert store.labels[0]["caller"] == caller


@pytest.mark.parametrize(
    "unknown", [UUID, f"{UUID}-000000000000", "golden-101", "x" * 300, "-", "%2e%2e", "\u00e4", "\ud800"]
)
def test_an_id_that_was_never_given_is_404(send: Send, store: FakeStore, unknown: str) -> None:
    assert send(label_event(unknown)).status == 404
    assert not store.objects


def test_an_id_of_another_deployment_is_404(
    send: Send, store: FakeStore, given: str, handler: ModuleType
) -> None:
    store.secret = "another key"
    del handler.IDS.__dict__["_key"]  # as in a new instance
    assert kept(send, given).status == 404


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "not JSON"),
        ("[" * 2000, "not JSON"),
        ('["YES"]', "object"),
        ('{"label": "YES", "image": "x"}', "object"),
        ('{"label": "yes"}', "YES, NO"),
        ('{"label": ["YES"]}', "YES, NO"),
        ('{"note": "x"}', "YES, NO"),
        ('{"label": "YES", "note": null}', "500"),
        (json.dumps({"label": "YES", "note": "x" * 501}), "500"),
        (json.dumps({"label": "YES", "note": "\u00e4" * 500}), "2,048"),
    ],
)
def test_a_bad_body_is_refused_with_what_is_wrong(
    send: Send, store: FakeStore, given: str, body: str, detail: str
) -> None:
    answer = send(label_event(given, body=body))
    assert answer.status == (413 if "bytes" in answer.json["detail"] else 400)
    assert detail in answer.json["detail"]
    assert not store.objects


@pytest.mark.parametrize(
    ("kind", "status"), [("text/plain", 415), ("", 415), ("Application/JSON; charset=utf-8", 200)]
)
def test_a_label_is_json(send: Send, given: str, kind: str, status: int) -> None:
    assert kept(send, given, kind=kind).status == status


@pytest.mark.parametrize("code", ["NoSuchBucket", "AccessDenied", "ConditionalRequestConflict", "SlowDown"])
def test_while_the_bucket_is_gone_a_label_is_503_and_then_kept(
    send: Send, store: FakeStore, given: str, code: str
) -> None:
    status = {"NoSuchBucket": 404, "AccessDenied": 403, "SlowDown": 503}.get(code, 409)
    store.failures = [s3_error(code, status)] * (4 if status == 409 else 1 if status < 500 else 2)
    answer = kept(send, given)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert kept(send, given).status == 200
    assert len(store.objects) == 1


def test_a_short_conflict_is_nobodys_concern(send: Send, store: FakeStore, given: str) -> None:
    store.failures = [s3_error("ConditionalRequestConflict", 409)]
    assert kept(send, given).status == 200


def test_without_the_key_predictions_go_on_and_labels_wait(
    send: Send, store: FakeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.secret_failure = DENIED
    answer = send(event("predict_image"))
    assert (answer.status, answer.json["request_id"]) == (200, UUID)
    assert "no check" in json.loads(capsys.readouterr().out)["cause"]
    assert send(label_event(f"{UUID}-000000000000")).status == 503


def test_no_log_holds_a_note_or_an_id_of_a_path(
    send: Send, store: FakeStore, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    store.failures = [s3_error("NoSuchBucket", 404)]
    kept(send, given)
    kept(send, given)
    kept(send, given, body=f'{{"label": "{NOTE}"}}')
    kept(send, given, body=NOTE)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == [503, 200, 400, 400]
    assert {line["path"] for line in lines} == {"/predictions/{request_id}/label"}
    assert NOTE not in out + err
    assert given not in out


def test_the_path_takes_posts_alone(send: Send, given: str) -> None:
    path = f"/predictions/{given}/label"
    options = send(event("get_page", method="OPTIONS", path=path))
    assert (options.status, options.headers["Allow"]) == (204, "OPTIONS, POST")
    assert send(event("get_page", path=path)).status == 405
