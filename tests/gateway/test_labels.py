"""Labels: kept once for the ids that were given, and for no other; none of their notes in a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.events import event
from tests.gateway.label_store import FEEDBACK, FakeStore, s3_error
from tests.http_server import Reply

if TYPE_CHECKING:
    from types import ModuleType

    from tests.gateway.conftest import Answer, Send
    from tests.gateway.sagemaker import FakeSageMaker

Label = Callable[..., "Answer"]
NOTE = "the note that no log may hold"
UUID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"  # of the events
DENIED = Reply(400, b'{"__type": "AccessDeniedException", "message": "denied"}')


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | FEEDBACK


@pytest.fixture
def given(send: Send) -> str:
    """The id of a prediction."""
    return str(send(event("predict_image")).json["request_id"])


@pytest.fixture
def label(send: Send, given: str) -> Label:
    """Send a label for the prediction, with its note, unless told otherwise."""

    def label(
        body: object = None, *, of: str = given, kind: str = "application/json", **context: Any
    ) -> Answer:
        made = event(
            "get_page", method="POST", path=f"/predictions/{of}/label", headers={"Content-Type": kind}
        )
        made["body"] = body if isinstance(body, str) else json.dumps(body or {"label": "NO", "note": NOTE})
        made["requestContext"].update(context)  # type: ignore[typeddict-item]
        return send(made)

    return label


def test_a_predictions_id_has_a_check_wherever_it_is_named(
    given: str, sagemaker: FakeSageMaker, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = send(event("predict_image"))
    assert given.startswith(f"{UUID}-")
    assert len(given) == len(UUID) + 13 <= 64
    assert given == answer.headers["X-Request-Id"] == json.loads(capsys.readouterr().out)["request_id"]
    call = sagemaker.calls[-1]
    assert call.headers["x-amzn-sagemaker-inference-id"] == given
    assert f"request_id={given}" in call.headers["x-amzn-sagemaker-custom-attributes"]


def test_other_requests_and_the_canary_keep_their_ids(send: Send) -> None:
    assert send(event("get_page", path="/health")).headers["X-Request-Id"] == UUID
    golden = event("predict_image")
    golden["requestContext"] = {"requestId": "golden-101"}  # without API Gateway
    assert send(golden).json["request_id"] == "golden-101"


@pytest.mark.parametrize("forged", ["a;heatmap=true", "x" * 52, "", "a/b", "\u00e4", "golden-101"])
def test_an_id_that_a_caller_has_made_up_is_replaced(handler: ModuleType, forged: str) -> None:
    made = event("predict_image")
    made["requestContext"]["requestId"] = forged
    answer = handler.handle(made, None)
    assert (answer["statusCode"], len(answer["headers"]["X-Request-Id"])) == (200, len(UUID) + 13)


def test_a_label_is_kept_with_its_time_model_and_caller(store: FakeStore, given: str, label: Label) -> None:
    answer = label(identity={"apiKeyId": "key-1"})
    assert (answer.status, answer.json) == (200, {"request_id": given, "label": "NO"})
    ((path, body),) = store.objects.items()
    assert path.startswith(f"/labels-of-a-test/labels/{given}/")
    members = json.loads(body)
    assert members.pop("time").endswith("Z")
    expected = {"request_id": given, "label": "NO", "note": NOTE, "model_sha256": "ab" * 32}
    assert members == expected | {"caller": "key-1"}


def test_each_callers_labels_are_kept_beside_each_other(store: FakeStore, label: Label) -> None:
    person = {"authorizer": {"claims": {"sub": "person"}}, "identity": {"userArn": None}}
    role = {"authorizer": None, "identity": {"userArn": "arn", "apiKeyId": None}}
    # The last one again
    given: list[Any] = [(person, "YES"), (person, "NO"), (role, "NO"), ({}, "NO"), (role, "NO")]
    assert [label({"label": said}, **who).status for who, said in given] == [200] * 5
    found = [(each["caller"], each["label"], "note" in each) for each in store.labels]
    kept = [("person", "YES"), ("person", "NO"), ("arn", "NO"), (None, "NO")]
    assert found == [(*each, False) for each in kept]


@pytest.mark.parametrize(
    "unknown", [UUID, f"{UUID}-000000000000", "golden-101", "x" * 300, "\u00e4", "\ud800"]
)
def test_an_id_that_was_never_given_is_404(store: FakeStore, label: Label, unknown: str) -> None:
    assert label(of=unknown).status == 404
    assert not store.objects


def test_an_id_of_another_deployment_is_404(store: FakeStore, label: Label, handler: ModuleType) -> None:
    store.secret = Reply(body=b'{"SecretString": "another key"}')
    del handler.IDS.__dict__["_key"]  # as in a new instance
    assert label().status == 404


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "not JSON"),
        ("[" * 2000, "not JSON"),
        ('["YES"]', "object"),
        ('{"label": "YES", "image": "x"}', "object"),
        ('{"label": "yes"}', "YES, NO"),
        ('{"label": ["YES"]}', "YES, NO"),
        ('{"label": "YES", "note": null}', "500"),
        (json.dumps({"label": "YES", "note": "x" * 501}), "500"),
        (json.dumps({"label": "YES", "note": "\u00e4" * 500}), "2,048 bytes"),
    ],
)
def test_a_bad_body_is_refused_with_what_is_wrong(
    store: FakeStore, label: Label, body: str, detail: str
) -> None:
    answer = label(body)
    assert answer.status == (413 if "bytes" in detail else 400)
    assert detail in answer.json["detail"]
    assert not store.objects


def test_a_label_is_json(label: Label) -> None:
    kinds = {"text/plain": 415, "": 415, "Application/JSON; charset=utf-8": 200}
    assert {kind: label(kind=kind).status for kind in kinds} == kinds


@pytest.mark.parametrize(
    "failures",
    [[s3_error("NoSuchBucket", 404)], [s3_error("AccessDenied", 403)], [Reply(503)] * 2],
    ids=["gone", "denied", "busy"],
)
def test_while_the_bucket_is_gone_a_label_is_503_and_then_kept_and_no_note_is_logged(
    store: FakeStore,
    label: Label,
    failures: list[Reply],
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    store.failures = [*failures]
    answer = label()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert [label().status, label(NOTE).status, len(store.objects)] == [200, 400, 1]
    out, err = capsys.readouterr()
    assert {json.loads(line)["path"] for line in out.splitlines()} == {"/predictions/{request_id}/label"}
    assert NOTE not in out + err


def test_without_the_key_predictions_go_on_and_labels_wait(
    send: Send, store: FakeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.secret = DENIED
    answer = send(event("predict_image"))
    assert (answer.status, answer.json["request_id"]) == (200, UUID)
    assert "no check" in json.loads(capsys.readouterr().out)["cause"]
    labelled = event("get_page", method="POST", path=f"/predictions/{UUID}-000000000000/label")
    assert send(labelled).status == 503
    assert send(event("get_page", path=f"/predictions/{UUID}/label")).headers["Allow"] == "OPTIONS, POST"
