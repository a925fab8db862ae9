"""`scripts/predict` as a user runs it, against a gateway that refuses, throttles and hangs up."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.client import Client
from scripts.delivery import predict
from scripts.delivery.answers import COLUMNS, Answer, as_csv, table
from scripts.delivery.console import DeliveryError
from tests.delivery.fake_gateway import MODEL, PREDICTION, REQUEST_ID, FakeGateway, Reply, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DELAY_S = 0.05
IN_FLIGHT_S = 0.1  # for one thread to tell the others
NO = {**PREDICTION, "label": "NO", "class": 0, "probability": 0.12, "request_id": REQUEST_ID}
REFUSAL = problem(422, "The image is blank,\nor nearly so.", score=0.02, score_threshold=0.37)


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().running() as fake:
        yield fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, each with its name for its bytes."""
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def fill(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path.name))
    return paths


def started(gateway: FakeGateway, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    known = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TUMOR_"))}
    return subprocess.Popen(
        [sys.executable, "scripts/predict", "--url", gateway.url, *map(str, arguments)],
        cwd=ROOT, env=known | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(gateway: FakeGateway, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    process = started(gateway, *arguments, **environment)
    out, said = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, said)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_each_image_has_its_row_in_the_order_of_the_images(gateway: FakeGateway, folder: Path) -> None:
    # Given a tumour, none, what is no brain, what is broken and what is never answered
    paths = fill(folder, "a.jpg", "b.png", "below/c.JPEG", "d.png", "e.png", ".hidden.png", "notes.txt")
    gateway.of_an_image = {
        b"b.png": Reply(body=json.dumps(NO).encode()),
        b"c.JPEG": REFUSAL,
        b"d.png": problem(400, "The image is truncated."),
        b"e.png": Reply(hang_up=True),
    }

    # When the folder is asked about
    done = run(gateway, folder, "--format", "csv", "--parallel", 8)

    # Then each has its answer, and the failures are told by the exit status
    by_name = {Path(row["file"]).name: row for row in rows(done.stdout)}
    assert list(by_name) == ["a.jpg", "b.png", "c.JPEG", "d.png", "e.png"]
    assert [row["answer"] for row in by_name.values()] == ["YES", "NO", "refused", "failed", "failed"]
    assert [row["status"] for row in by_name.values()] == ["200", "200", "422", "400", ""]
    assert by_name["a.jpg"]["file"] == str(paths[0])
    assert (by_name["a.jpg"]["probability"], by_name["a.jpg"]["threshold"]) == ("0.93", "0.41")
    assert (by_name["a.jpg"]["sha256"], by_name["a.jpg"]["request_id"]) == (MODEL["sha256"], REQUEST_ID)
    assert by_name["c.JPEG"]["detail"] == "The image is blank,\nor nearly so."
    assert (by_name["c.JPEG"]["score"], by_name["c.JPEG"]["score_threshold"]) == ("0.02", "0.37")
    assert "got no answer" in by_name["e.png"]["detail"]
    assert done.returncode == 1
    assert "5 images: 1 YES, 1 NO, 1 refused, 2 failed" in done.stderr


def test_a_refusal_is_an_answer(gateway: FakeGateway, folder: Path) -> None:
    gateway.default = REFUSAL

    done = run(gateway, *fill(folder, "a.jpg"))

    assert done.returncode == 0
    heading, line = done.stdout.splitlines()
    assert heading.split() == ["IMAGE", "ANSWER", "PROBABILITY", "THRESHOLD"]
    assert line.split()[1:] == ["refused", "The", "image", "is", r"blank,\nor", "nearly", "so."]


def test_json_has_what_came_with_the_heatmap(gateway: FakeGateway, folder: Path) -> None:
    heatmap = {"width": 1, "height": 1, "values": [[0.5]]}
    gateway.of_an_image = {
        b"a.png": Reply(body=json.dumps({**PREDICTION, "heatmap": heatmap, "request_id": "1"}).encode()),
        b"b.png": REFUSAL,
    }
    paths = fill(folder, "a.png", "b.png")

    done = run(gateway, *paths, "--format", "json", "--heatmap")

    predicted, refused = json.loads(done.stdout)
    assert predicted == {
        "file": str(paths[0]),
        "answer": "YES",
        "prediction": {**PREDICTION, "heatmap": heatmap, "request_id": "1"},
    }
    assert (refused["answer"], refused["problem"]) == ("refused", json.loads(REFUSAL.body))
    assert all(call.target == "/stage/predict?heatmap=true" for call in gateway.images)


def test_more_at_a_time_is_faster(gateway: FakeGateway, folder: Path) -> None:
    gateway.default = Reply(delay_s=DELAY_S)
    paths = fill(folder, *(f"{number}.png" for number in range(16)))

    def seconds(parallel: int) -> float:
        began, found = time.monotonic(), list[Answer]()
        predict.ask(Client(gateway.url), paths, parallel=parallel, heatmap=False, answered=found.append)
        assert {answer.word for answer in found} == {"YES"}
        return time.monotonic() - began

    assert seconds(1) >= 16 * DELAY_S
    assert seconds(8) < 16 * DELAY_S / 2


class Watched(Client):
    """A client that notes when it sends, and when it reads that it is to wait."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[float] = []
        self.told_to_wait: list[float] = []

    def _exchange(self, *request: Any) -> Any:
        self.sent.append(time.monotonic())
        reply, failure = super()._exchange(*request)
        if reply and reply.status == 429:
            self.told_to_wait.append(time.monotonic())
        return reply, failure


def test_a_throttle_is_obeyed_and_every_image_answered_all_the_same(
    gateway: FakeGateway, folder: Path
) -> None:
    # Given a gateway that takes ten images a second, and three times as many
    gateway.rate = 10
    paths = fill(folder, *(f"{number}.png" for number in range(30)))
    client, found = Watched(gateway.url), list[Answer]()

    # When all are asked about, more at a time than it takes
    predict.ask(client, paths, parallel=16, heatmap=False, answered=found.append)

    # Then all are answered, and once it was told to wait a second nothing is sent for one
    assert [answer.word for answer in found] == ["YES"] * 30
    assert client.told_to_wait
    for told in client.told_to_wait:
        assert not [each for each in client.sent if IN_FLIGHT_S < each - told < 1]
    assert len(gateway.images) < 2 * len(paths), "it asked much more often than it was answered"


def test_names_cannot_become_formulas_columns_or_commands_of_a_terminal() -> None:
    names = (
        "=1+1.png",
        "+1.png",
        "-1.png",
        "@SUM(A1).png",
        "\tx.png",
        '"a",b;c.png',
        "two\nlines.png",
        "plain.png",
    )
    answers = [Answer(Path(name), fault="=cmd|' /C calc'!A0") for name in names]

    written = rows(as_csv(answers))

    marked = [f"'{name}" for name in names[:5]]
    assert [row["file"] for row in written] == [*marked, *names[5:]]
    assert {row["detail"] for row in written} == {"'=cmd|' /C calc'!A0"}
    assert set(written[0]) == set(COLUMNS)
    shown = table([Answer(Path("a\x1b[31m\u202egnp.png")), Answer(Path(os.fsdecode(b"\xff.png")))])
    assert r"a\x1b[31m\u202egnp.png" in shown
    assert r"\xff.png" in shown
    shown.encode()


def test_odd_names_come_through_the_command(gateway: FakeGateway, folder: Path) -> None:
    paths = fill(folder, "=1+1 'ä\u202e\n.png", os.fsdecode(b"\xff.png"))

    done = run(gateway, folder, "--format", "json", LC_ALL="C.UTF-8")

    assert {Path(each["file"]).name for each in json.loads(done.stdout)} == {paths[0].name, r"\xff.png"}
    assert {call.body for call in gateway.images} == {os.fsencode(path.name) for path in paths}


def test_a_model_that_wakes_up_is_waited_for(gateway: FakeGateway, folder: Path) -> None:
    gateway.replies.extend([problem(503, retry_after=1), Reply(hang_up=True)])

    assert run(gateway, *fill(folder, "a.png")).returncode == 0
    assert len(gateway.images) == 3


def test_ctrl_c_prints_what_was_answered_and_ends_at_once(gateway: FakeGateway, folder: Path) -> None:
    # Given a run whose second image takes for ever
    paths = fill(folder, "a.png", "b.png", "c.png")
    gateway.of_an_image = {b"b.png": Reply(delay_s=20)}
    process = started(gateway, *paths, "--parallel", 1, "--format", "csv")
    while len(gateway.images) < 2:
        assert process.poll() is None
        time.sleep(0.05)

    # When it is stopped
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=10)

    # Then it says what it has, and nothing of Python
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert [row["answer"] for row in rows(out)] == ["YES"]
    assert "2 not asked" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("mode", "variable", "header"),
    [("api_key", "TUMOR_API_KEY", "x-api-key"), ("cognito", "TUMOR_ACCESS_TOKEN", "authorization")],
)
def test_a_secret_comes_from_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, mode: str, variable: str, header: str
) -> None:
    gateway.asked = {mode: {}}
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DeliveryError, match=variable):
        predict.connect(gateway.url)

    monkeypatch.setenv(variable, "PLANTED")
    predict.connect(gateway.url).predict(b"image")

    assert gateway.images[-1].headers[header].endswith("PLANTED")


def test_a_secret_is_shown_nowhere(gateway: FakeGateway, folder: Path) -> None:
    gateway.asked = {"api_key": {}}
    gateway.default = problem(500)

    done = run(gateway, *fill(folder, "a.png"), TUMOR_API_KEY="PLANTED")

    assert gateway.images[-1].headers["x-api-key"] == "PLANTED"
    assert "PLANTED" not in done.stdout + done.stderr


def test_requests_are_signed_where_that_is_asked_for(
    gateway: FakeGateway, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.asked = {"iam": {}}
    for name, value in {
        "ACCESS_KEY_ID": "AKIDEXAMPLE",
        "SECRET_ACCESS_KEY": "PLANTED",
        "REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    predict.connect(gateway.url).predict(b"image")

    (call,) = gateway.images
    signature = call.headers["authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/execute-api/aws4_request" in signature
    assert "PLANTED" not in str(call.headers)


def test_not_being_let_in_ends_it(gateway: FakeGateway, folder: Path) -> None:
    gateway.default = problem(403, "Send a valid API key.")

    done = run(gateway, *fill(folder, *(f"{number}.png" for number in range(50))))

    assert (done.returncode, done.stdout) == (1, "")
    assert "did not let this in: Send a valid API key." in done.stderr
    assert len(gateway.images) < 10


def test_what_is_too_large_or_cannot_be_read_is_not_sent(gateway: FakeGateway, folder: Path) -> None:
    [large] = fill(folder, "large.png")
    os.truncate(large, 4 * 1024**2 + 1)
    found: list[Answer] = []

    client = predict.connect(gateway.url)
    predict.ask(client, [large, folder / "gone.png"], parallel=1, heatmap=False, answered=found.append)

    assert [answer.word for answer in found] == ["failed", "failed"]
    assert [answer.fault for answer in found] == [
        "The file has 4,194,305 bytes; at most 4,194,304 are taken.",
        "The file cannot be read: No such file or directory.",
    ]
    assert not gateway.images


def test_images_are_found_once_each_and_every_wrong_path_is_named(folder: Path) -> None:
    paths = fill(folder, "b.PNG", "a.jpg", "deep/er/c.jpeg", "deep/.cache/d.png", "e.txt")

    assert predict.images_of([paths[4], folder, paths[0]]) == [paths[4], paths[1], paths[0], paths[2]]
    (folder / "empty").mkdir()
    with pytest.raises(DeliveryError, match=r"empty holds no \.jpg.*nowhere is neither"):
        predict.images_of([folder / "empty", folder / "nowhere"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--parallel", "0"], "from 1 to 64"),
        (["--heatmap"], "--format json"),
    ],
)
def test_wrong_arguments_are_told_with_status_2(
    gateway: FakeGateway, arguments: list[Any], says: str
) -> None:
    done = run(gateway, "a.png", *arguments)

    assert done.returncode == 2
    assert says in done.stderr


def test_what_is_not_this_api_is_told(gateway: FakeGateway, folder: Path) -> None:
    gateway.health = Reply(body=b"<html>", media_type="text/html")

    done = run(gateway, *fill(folder, "a.png"))

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "✗ GET /health was answered with 200 text/html."
