"""Labels by the published client, and by `scripts/predict --labels` as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from openapi_schema_validator import OAS31Validator

from scripts.client import ClientError, Label, NotFoundError
from tests.api.fake_gateway import problem
from tests.api.test_contract import LABEL
from tests.api.test_predict import run
from tests.http_server import Call, Reply

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.client import Client
    from tests.api.fake_gateway import FakeGateway


@pytest.fixture
def taking(gateway: FakeGateway) -> FakeGateway:
    """A gateway that takes labels, for every id but "unknown"."""
    gateway.paths = {"/predictions/{request_id}/label": {}}

    def scripted(call: Call) -> Reply:
        request_id = call.target.split("/")[3]
        if gateway.replies or request_id == "unknown":
            return gateway.replies.popleft() if gateway.replies else problem(404, "No prediction.")
        return Reply(body=json.dumps({"request_id": request_id, **json.loads(call.body)}).encode())

    gateway.scripted = scripted  # type: ignore[method-assign]
    return gateway


def test_the_client_says_what_an_image_shows(client: Client, taking: FakeGateway) -> None:
    taking.replies.append(problem(503, retry_after=0))
    assert client.label("an-id", "NO", "A note.") == Label(request_id="an-id", label="NO")
    _, call = taking.calls
    assert (call.method, call.target) == ("POST", "/stage/predictions/an-id/label")
    assert json.loads(call.body) == {"label": "NO", "note": "A note."}
    content = LABEL["requestBody"]["content"][call.headers["content-type"]]
    OAS31Validator(content["schema"]).validate(json.loads(call.body))
    with pytest.raises(NotFoundError):
        client.label("unknown", "NO")
    for wrong in ("", "../predict", "a?b"):
        with pytest.raises(ClientError, match="not the id of a request"):
            client.label(wrong, "NO")
    assert len(taking.calls) == 3


def test_each_row_is_sent_or_said_why_not_and_may_be_sent_again(taking: FakeGateway, tmp_path: Path) -> None:
    # Given the CSV of `scripts/predict` with two more columns, as a spreadsheet saves it
    path = tmp_path / "labels.csv"
    lines = ["file,request_id,label,note", "a,id-1,YES,", "b,id-2,no,blurred", "c,id-3,,", "d,unknown,NO,"]
    path.write_text("\ufeff" + "\r\n".join([*lines, "e,id-5,maybe,", "f,../id,YES"]))
    # When it is sent, and again, Then each row with a label has a line in their order
    for _ in range(2):
        done = run(taking, "--labels", path)
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "line 2: id-1 YES: sent",
            "line 3: id-2 NO: sent",
            "line 5: unknown NO: 404 Its title: No prediction.",
            "line 6: id-5 MAYBE: write YES or NO",
            "line 7: ../id YES: '../id' is not the id of a request.",
        ]
        assert "5 labels: 2 sent, 3 not" in done.stderr
    bodies = [call.body for call in taking.images]
    assert len(bodies) == 6
    assert json.dumps({"label": "NO", "note": "blurred"}).encode() in bodies


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"id,label\n1,YES\n", 200, "lacks the column request_id"),
        (b"request_id,label\n\xff,YES\n", 200, "is not CSV in UTF-8"),
        (None, 200, "cannot be read: No such file"),
        (b"request_id,label\nid-1,YES\n", 404, "has no [feedback]"),
        (b"request_id,label\n" + b"id-1,YES\n" * 20, 403, "rejected the credentials: No key."),
    ],
)
def test_what_holds_for_the_whole_file_is_said_once(
    taking: FakeGateway, tmp_path: Path, content: bytes | None, status: int, reason: str
) -> None:
    path = tmp_path / "labels.csv"
    if content:
        path.write_bytes(content)
    taking.paths = {} if status == 404 else taking.paths
    taking.replies.extend([problem(status, "No key.")] * (20 if status == 403 else 0))
    done = run(taking, "--labels", path)
    assert (done.returncode, done.stdout, done.stderr.count(reason)) == (1, "", 1)


def test_images_or_labels_but_not_both(gateway: FakeGateway) -> None:
    assert [run(gateway, *arguments).returncode for arguments in ((), ("a", "--labels", "b"))] == [2, 2]
