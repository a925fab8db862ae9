"""`scripts/predict` as a user runs it, against a gateway that refuses, throttles and hangs up."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.paths import ROOT
from scripts.api.gateway import caller_client
from scripts.api.output import COLUMNS, PLACE, Outcome, as_csv, as_table
from scripts.api.predict import classify_images, find_images
from scripts.api.series import Image
from scripts.client import Client
from scripts.console import DeliveryError
from tests.api.fake_gateway import HEALTH, REQUEST_ID, prediction, problem
from tests.gateway.sagemaker import LOW, MODEL, PREDICTION
from tests.http_server import Reply

if TYPE_CHECKING:
    from scripts.client import Prediction
    from tests.api.fake_gateway import FakeGateway

NO = prediction(label="NO", **{"class": 0}, probability=0.12)
ONE_SOURCE = {**HEALTH, "model": {**MODEL, "kind": "images", "gates_failed": ["several_sources"]}}
REFUSAL = problem(422, "The image is blank,\nor nearly so.", score=0.02, score_threshold=0.37)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for images; each holds its own name."""
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
    out, log = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, log)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_each_image_has_a_row_in_the_order_of_the_images(gateway: FakeGateway, folder: Path) -> None:
    # Given a tumour, no tumour, no brain, a broken image and a request that is never answered
    paths = fill(folder, "a.jpg", "b.png", "below/c.JPEG", "d.png", "e.png", ".hidden.png", "notes.txt")
    gateway.by_image = {
        b"b.png": NO,
        b"c.JPEG": REFUSAL,
        b"d.png": problem(400, "The image is truncated."),
        b"e.png": Reply(hang_up=True),
    }

    # When the folder is classified
    done = run(gateway, folder, "--format", "csv", "--parallel", 8)

    # Then each has its answer, and the exit status reports the failures
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


def test_a_refusal_is_an_answer_not_a_failure(gateway: FakeGateway, folder: Path) -> None:
    gateway.default = REFUSAL
    done = run(gateway, *fill(folder, "a.jpg"))
    assert done.returncode == 0
    heading, line = done.stdout.splitlines()
    assert heading.split() == ["IMAGE", "ANSWER", "PROBABILITY", "THRESHOLD"]
    assert line.split()[1:] == ["refused", "The", "image", "is", r"blank,\nor", "nearly", "so."]


def test_a_low_reliability_is_in_the_last_column(gateway: FakeGateway, folder: Path) -> None:
    gateway.default = prediction(**LOW)
    gateway.health = Reply(body=json.dumps(ONE_SOURCE).encode())
    table = run(gateway, *fill(folder, "a.jpg"))
    assert table.stdout.rstrip().endswith(f"Low reliability: {LOW['reasons'][0]}")
    assert "trained on images of one source" in table.stderr


def test_json_holds_the_answers_in_full_with_the_heatmap(gateway: FakeGateway, folder: Path) -> None:
    heatmap = {"width": 1, "height": 1, "values": [[0.5]]}
    gateway.by_image = {b"a.png": prediction(heatmap=heatmap), b"b.png": REFUSAL}
    paths = fill(folder, "a.png", "b.png")
    done = run(gateway, *paths, "--format", "json", "--heatmap")
    predicted, refused = json.loads(done.stdout)
    assert predicted == {
        "file": str(paths[0]),
        "answer": "YES",
        "prediction": {**PREDICTION, "heatmap": heatmap, "request_id": REQUEST_ID},
    }
    assert (refused["answer"], refused["problem"]) == ("refused", json.loads(REFUSAL.body or b""))
    assert all(call.target == "/stage/predict?heatmap=true" for call in gateway.images)


def test_up_to_the_given_number_of_images_are_in_flight(gateway: FakeGateway, folder: Path) -> None:
    # Given a client that sends only once four images are in flight
    together = threading.Barrier(4)
    paths = fill(folder, *(f"{number}.png" for number in range(16)))

    class Waiting(Client):
        def predict(self, image: bytes, **options: Any) -> Prediction:
            together.wait(timeout=30)
            return super().predict(image, **options)

    # When four may be in flight, then all are answered; with fewer the barrier would break
    found = classify_images(Waiting(gateway.url), [*map(Image, paths)], parallel=4)
    assert [outcome.answer for outcome in found] == ["YES"] * 16


def test_names_cannot_become_formulas_columns_or_terminal_commands() -> None:
    formulas = ("=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\tx.png")
    names = (*formulas, '"a",b;c.png', "two\nlines.png", "plain.png")
    outcomes = [Outcome(Image(Path(name)), error="=cmd|' /C calc'!A0") for name in names]
    written = rows(as_csv(outcomes))
    assert [row["file"] for row in written] == [*(f"'{name}" for name in formulas), *names[5:]]
    assert {row["detail"] for row in written} == {"'=cmd|' /C calc'!A0"}
    assert tuple(written[0]) == (*COLUMNS, *PLACE)
    shown = as_table(
        [Outcome(Image(Path(name))) for name in ("a\x1b[31m\u202egnp.png", os.fsdecode(b"\xff.png"))]
    )
    assert r"a\x1b[31m\u202egnp.png" in shown
    assert r"\xff.png" in shown
    shown.encode()


def test_unusual_names_pass_through_the_command(gateway: FakeGateway, folder: Path) -> None:
    paths = fill(folder, "=1+1 'ä\u202e\n.png", os.fsdecode(b"\xff.png"))
    done = run(gateway, folder, "--format", "json", LC_ALL="C.UTF-8")
    assert {Path(each["file"]).name for each in json.loads(done.stdout)} == {paths[0].name, r"\xff.png"}
    assert {call.body for call in gateway.images} == {os.fsencode(path.name) for path in paths}


def test_ctrl_c_prints_the_answers_so_far(gateway: FakeGateway, folder: Path) -> None:
    # Given a run whose second image takes minutes
    paths = fill(folder, "a.png", "b.png", "c.png")
    gateway.by_image = {b"b.png": Reply(delay_s=120)}
    process = started(gateway, *paths, "--parallel", 1, "--format", "csv")
    while len(gateway.images) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    # When it is interrupted
    process.send_signal(signal.SIGINT)
    out, log = process.communicate(timeout=60)
    # Then it prints the answers so far, without a traceback and without waiting for the second
    assert process.returncode == 130
    assert [row["answer"] for row in rows(out)] == ["YES"]
    assert "2 not sent" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("mode", "variable", "header"),
    [("api_key", "TUMOR_API_KEY", "x-api-key"), ("cognito", "TUMOR_ACCESS_TOKEN", "authorization")],
)
def test_a_secret_comes_from_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, mode: str, variable: str, header: str
) -> None:
    gateway.schemes = {mode: {}}
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DeliveryError, match=variable):
        caller_client(gateway.url)
    monkeypatch.setenv(variable, "PLANTED")
    caller_client(gateway.url).predict(b"image")
    assert gateway.images[-1].headers[header].endswith("PLANTED")


def test_requests_are_signed_where_required(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.schemes = {"iam": {}}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    caller_client(gateway.url).predict(b"image")
    headers = gateway.images[0].headers
    assert re.match(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/.*/eu-west-1/execute-api/aws4_request,",
        headers["authorization"],
    )
    assert "PLANTED" not in str(headers)


def test_rejected_credentials_end_the_command_and_are_not_printed(gateway: FakeGateway, folder: Path) -> None:
    gateway.schemes = {"api_key": {}}
    gateway.default = problem(403, "Send a valid API key.")
    paths = fill(folder, *(f"{number}.png" for number in range(200)))
    done = run(gateway, *paths, TUMOR_API_KEY="PLANTED")
    assert (done.returncode, done.stdout) == (1, "")
    assert "rejected the credentials: Send a valid API key." in done.stderr
    assert gateway.images[-1].headers["x-api-key"] == "PLANTED"
    assert "PLANTED" not in done.stderr
    assert len(gateway.images) < 100


def test_a_file_that_is_too_large_or_unreadable_is_not_sent(gateway: FakeGateway, folder: Path) -> None:
    [large] = fill(folder, "large.png")
    os.truncate(large, 4 * 1024**2 + 1)
    gateway.default = problem(404)  # it answers at once only
    images = [Image(large), Image(folder / "gone.png")]
    found = list(classify_images(Client(gateway.url), images, parallel=1))
    assert [outcome.answer for outcome in found] == ["failed", "failed"]
    assert [outcome.error for outcome in found] == [
        "The image has 4,194,305 bytes; the limit is 4,194,304.",
        "The file cannot be read: No such file or directory.",
    ]
    assert [call.body for call in gateway.images] == [b""]


def test_images_are_found_once_each_and_every_invalid_path_is_named(folder: Path) -> None:
    paths = fill(folder, "b.PNG", "a.jpg", "deep/er/c.jpeg", "deep/.cache/d.png", "e.txt")
    assert find_images([paths[4], folder, paths[0]]) == [paths[4], paths[1], paths[0], paths[2]]
    (folder / "empty").mkdir()
    with pytest.raises(DeliveryError, match=r"empty holds no \.jpg.*nowhere is neither"):
        find_images([folder / "empty", folder / "nowhere"])


def test_a_folder_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str | Path) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    (folder / "locked").mkdir()
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)  # root, who may run this, can read everything
    with pytest.raises(DeliveryError, match="locked cannot be read: Permission denied"):
        find_images([folder])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--parallel", "0"], "from 1 to 64"),
        (["--heatmap"], "--format json"),
        (["--preview"], "--format json"),
        (["--frame", "0"], "from 1"),
    ],
)
def test_invalid_arguments_exit_with_status_2(gateway: FakeGateway, arguments: list[Any], says: str) -> None:
    done = run(gateway, "a.png", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_another_server_is_recognised(gateway: FakeGateway, folder: Path) -> None:
    gateway.health = Reply(body=b"<html>", media_type="text/html")
    done = run(gateway, *fill(folder, "a.png"))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"✗ {gateway.url} is not this API: GET /health was answered with 200 text/html."
    )
