"""How the process starts, refuses to start, and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from . import pictures
from .serving import ROOT, answer_on, environment, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE = pictures.png(pictures.scan())


def run(model_dir: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the process to its end: for starts that fail."""
    return subprocess.run(
        [sys.executable, "-m", "container", *arguments],
        cwd=ROOT,
        env=environment(model_dir, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Check that a start failed with exactly one line of JSON, and return its reason."""
    assert done.returncode not in {0, None}
    (line,) = done.stdout.splitlines()
    assert done.stderr == ""
    event = json.loads(line)
    assert event["level"] == "critical"
    return str(event["reason"])


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(folder: Path) -> None:
    network = folder / "model.tflite"
    network.write_bytes(network.read_bytes()[:1000])


def tamper(folder: Path) -> None:
    """Put another network in the place of the one that was exported."""
    other = json.loads((folder / "metadata.json").read_text())
    other["known_answer"]["logit"] += 0.01
    (folder / "metadata.json").write_text(json.dumps(other))


def contradict(folder: Path) -> None:
    other = json.loads((folder / "metadata.json").read_text())
    other["input"]["size"] = 64
    (folder / "metadata.json").write_text(json.dumps(other))


def garble(folder: Path) -> None:
    (folder / "metadata.json").write_text(
        '{"schema": 1, "threshold": "high", "labels": ["NO"], "heatmap": {}, "refusal": {"threshold": 37}}'
    )


def break_json(folder: Path) -> None:
    (folder / "metadata.json").write_text('{"schema": 2,')


@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (without("model.tflite"), ["model.tflite", "No such file"]),
        (without("metadata.json"), ["metadata.json", "No such file"]),
        (cut, ["model.tflite", "cannot be loaded"]),
        (tamper, ["not the network that was exported"]),
        (contradict, ["(1, 32, 32, 1)", "64"]),
        (
            garble,
            [
                *("schema must be 2", '"high"', "labels.1", "input.size", "heatmap.width", "known_answer"),
                "refusal.threshold must be a number from 0 to 1, not 37",
            ],
        ),
        (break_json, ["metadata.json", "JSON"]),
    ],
    ids=["no network", "no metadata", "cut network", "other network", "other size", "wrong keys", "no JSON"],
)
def test_an_unusable_model_ends_the_process_with_the_reason(
    model_dir: Path, tmp_path: Path, damage: Callable[[Path], None], reasons: list[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    damage(folder)
    reason = last_words(run(folder, "serve"))
    assert all(part in reason for part in reasons), reason


@pytest.mark.parametrize(
    ("promised", "reason"),
    [
        ({"heatmap": {"width": 8, "height": 8}}, "no evidence map"),
        ({"refusal": {"threshold": 0.37}}, "no brain logit"),
    ],
    ids=["heatmap", "refusal"],
)
def test_a_promise_that_the_network_cannot_keep_is_an_unusable_model(
    blind_model_dir: Path, tmp_path: Path, promised: dict[str, object], reason: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(blind_model_dir, folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | promised))
    assert reason in last_words(run(folder, "serve"))


@pytest.mark.parametrize("port", ["http", "-1", "65536", ""])
def test_a_port_that_is_none_ends_the_process(model_dir: Path, port: str) -> None:
    done = run(model_dir, "serve", SAGEMAKER_BIND_TO_PORT=port)
    assert "SAGEMAKER_BIND_TO_PORT" in last_words(done)


def test_a_taken_port_ends_the_process(model_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(model_dir, "serve", SAGEMAKER_BIND_TO_PORT=str(taken.getsockname()[1]))
    assert done.returncode != 0
    assert "in use" in json.loads(done.stdout.splitlines()[-1])["event"]


def test_help_names_the_command_and_the_variables(model_dir: Path) -> None:
    done = run(model_dir, "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("serve", "MODEL_DIR", "BIND_HOST", "MODEL_SHA256"))


@pytest.mark.parametrize("arguments", [[], ["train"]])
def test_any_other_command_is_refused(model_dir: Path, arguments: list[str]) -> None:
    done = run(model_dir, *arguments)
    assert done.returncode == 2
    assert "serve" in done.stderr


def test_nothing_listens_before_the_model_has_answered(model_dir: Path) -> None:
    with serving(model_dir) as server:
        assert [line["event"] for line in server.events()] == ["ready"]
        assert server.ask("GET", "/ping").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(model_dir: Path, number: signal.Signals) -> None:
    with serving(model_dir) as server:
        idle = server.connect()
        idle.request("GET", "/ping")
        assert answer_on(idle).status == 200
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(timeout=10) == 0
        assert time.monotonic() - began < 5
        server.wait_for("stopped")


def test_sigterm_lets_a_request_in_flight_finish(model_dir: Path) -> None:
    with serving(model_dir) as server:
        # Given an upload that is half done
        upload = server.connect()
        upload.putrequest("POST", "/invocations")
        upload.putheader("content-type", "image/png")
        upload.putheader("content-length", str(len(IMAGE)))
        upload.endheaders(IMAGE[:100])
        server.ask("GET", "/ping")
        # When the server is told to stop
        server.process.send_signal(signal.SIGTERM)
        wait_until_it_no_longer_listens(server.port)
        assert server.process.poll() is None
        # Then the upload may end, is answered, and the server goes in order
        upload.send(IMAGE[100:])
        assert answer_on(upload).status == 200
        assert server.process.wait(timeout=30) == 0


def wait_until_it_no_longer_listens(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("the server still listens after SIGTERM")


def test_the_health_check_tells_up_from_down(model_dir: Path) -> None:
    def health(port: int) -> int:
        check = [sys.executable, "-m", "container.ping"]
        environ = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port)}
        return subprocess.run(check, cwd=ROOT, env=environ, capture_output=True, check=False).returncode

    with serving(model_dir) as server:
        assert health(server.port) == 0
    assert health(server.port) == 1
