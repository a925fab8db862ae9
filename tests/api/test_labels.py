"""Labels by the published client, and by `scripts/predict --labels` as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.client import BadRequestError, ClientError, Label, NotFoundError
from tests.api.fake_gateway import problem
from tests.api.test_predict import rows, run
from tests.http_server import Call, Reply

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.client import Client
    from tests.api.fake_gateway import FakeGateway

PATH = "/predictions/{request_id}/label"
UNKNOWN = problem(404, "No prediction has this id: send the request_id of an answer.")


@pytest.fixture
def taking(gateway: FakeGateway) -> FakeGateway:
    """A gateway that takes labels, for every id but "unknown"."""
    gateway.paths = {PATH: {}}

    def scripted(call: Call) -> Reply:
        if gateway.replies:
            return gateway.replies.popleft()
        request_id = call.target.split("/")[3]
        if request_id == "unknown":
            return UNKNOWN
        said = json.loads(call.body)["label"]
        return Reply(body=json.dumps({"request_id": request_id, "label": said}).encode())

    gateway.scripted = scripted  # type: ignore[method-assign]
    return gateway


def test_the_client_says_what_an_image_shows(client: Client, taking: FakeGateway) -> None:
    taking.replies.append(problem(503, retry_after=0))
    assert client.label("an-id", "NO", "A note.") == Label(request_id="an-id", label="NO")
    _, call = taking.calls
    assert (call.method, call.target) == ("POST", "/stage/predictions/an-id/label")
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == {"label": "NO", "note": "A note."}
    client.label("an-id", "YES")
    assert json.loads(taking.calls[-1].body) == {"label": "YES"}


def test_the_clients_errors_are_typed(client: Client, taking: FakeGateway) -> None:
    with pytest.raises(NotFoundError):
        client.label("unknown", "NO")
    taking.replies.append(problem(400, "The body is not JSON."))
    with pytest.raises(BadRequestError):
        client.label("an-id", "NO")
    calls = len(taking.calls)
    for wrong in ("", "../predict", "a?b", "a b"):
        with pytest.raises(ClientError, match="not the id of a request"):
            client.label(wrong, "NO")
    assert len(taking.calls) == calls


def test_each_row_is_sent_or_said_why_not(taking: FakeGateway, tmp_path: Path) -> None:
    # Given the CSV of `scripts/predict` with two more columns, as a spreadsheet saves it
    path = tmp_path / "labels.csv"
    lines = [
        "file,request_id,label,note", "a.png,id-1,YES,", "b.png,id-2,no,blurred", "c.png,id-3,,",
        "d.png,unknown,NO,", "e.png,id-5,maybe,", 'f.png,../id,YES,"',
    ]  # fmt: skip
    path.write_text("\ufeff" + "\r\n".join(lines) + '"\r\n')
    # When it is sent, and again
    for _ in range(2):
        taking.calls.clear()
        done = run(taking, "--labels", path)
        # Then each row with a label has a line in their order
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "line 2: id-1 YES: sent",
            "line 3: id-2 NO: sent",
            "line 5: unknown NO: 404 Its title: No prediction has this id: send the request_id of an answer.",
            "line 6: id-5 MAYBE: the label is 'maybe': write YES or NO",
            "line 7: ../id YES: '../id' is not the id of a request.",
        ]
        assert "5 labels: 2 sent, 3 not" in done.stderr
        sent = {call.target.split("/")[3]: json.loads(call.body) for call in taking.images}
        assert sent == {
            "id-1": {"label": "YES"}, "id-2": {"label": "NO", "note": "blurred"}, "unknown": {"label": "NO"},
        }  # fmt: skip


def test_what_predict_writes_can_be_labelled(
    taking: FakeGateway, gateway: FakeGateway, tmp_path: Path
) -> None:
    del taking.scripted
    (tmp_path / "a.png").write_bytes(b"image")
    written = run(gateway, tmp_path / "a.png", "--format", "csv").stdout
    (row,) = rows(written)
    assert row["request_id"]
    taking.replies.append(Reply(body=json.dumps({"request_id": row["request_id"], "label": "NO"}).encode()))
    head, first, *_ = written.splitlines()
    (tmp_path / "labels.csv").write_text(f"{head},label\n{first},NO\n")
    done = run(gateway, "--labels", tmp_path / "labels.csv")
    assert (done.returncode, done.stdout) == (0, f"line 2: {row['request_id']} NO: sent\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"id,label\n1,YES\n", "lacks the column request_id"),
        (b"", "lacks the column request_id and label"),
        (b"request_id,label\n\xff,YES\n", "is not CSV in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_sends_nothing(
    taking: FakeGateway, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    done = run(taking, "--labels", path)
    assert (done.returncode, taking.images) == (1, [])
    assert reason in done.stderr


def test_a_deployment_without_feedback_says_so(gateway: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("request_id,label\nid-1,YES\n")
    done = run(gateway, "--labels", path)
    assert (done.returncode, gateway.images) == (1, [])
    assert "has no [feedback]" in done.stderr


def test_a_caller_who_is_rejected_is_told_once(taking: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("request_id,label\n" + "id-1,YES\n" * 50)
    taking.replies.extend([problem(403, "Send a valid API key.")] * 50)
    done = run(taking, "--labels", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("rejected the credentials: Send a valid API key.") == 1


@pytest.mark.parametrize("arguments", [(), ("a.png", "--labels", "b.csv")])
def test_images_or_labels_but_not_both(gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    done = run(gateway, *arguments)
    assert (done.returncode, gateway.calls) == (2, [])
    assert "name images, or a file of --labels" in done.stderr
