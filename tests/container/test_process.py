"""How the process starts, refuses to start, and stops."""

from __future__ import annotations

import json
import os
import resource
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


def run(
    model_dir: Path, *arguments: str, start: Callable[[], None] | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run the process to its end, for starts that fail; `start` is called in it before all else."""
    return subprocess.run(
        [sys.executable, "-m", "container", *arguments],
        cwd=ROOT,
        env=environment(model_dir, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=start,
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


def cut(to: slice) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        network = folder / "model.tflite"
        network.write_bytes(network.read_bytes()[to])

    return damage


def modernise(folder: Path) -> None:
    """Export as a later version of this project would, for a container that is not deployed yet."""
    later = json.loads((folder / "metadata.json").read_text()) | {"schema": 3}
    (folder / "metadata.json").write_text(json.dumps(later))


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


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def break_json(folder: Path) -> None:
    (folder / "metadata.json").write_text('{"schema": 2,')


@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (without("model.tflite"), ["model.tflite", "cannot be loaded"]),
        (without("metadata.json"), ["metadata.json", "No such file"]),
        (empty, ["metadata.json", "No such file"]),
        (cut(slice(0)), ["model.tflite", "cannot be loaded"]),
        (cut(slice(1000)), ["model.tflite", "cannot be loaded"]),
        (cut(slice(-1)), ["model.tflite", "cannot be loaded"]),
        (modernise, ["metadata.json", "schema must be 2, not 3"]),
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
    ids=[
        *("no network", "no metadata", "nothing", "no byte of a network", "half a network", "a byte too few"),
        *("newer schema", "other network", "other size", "wrong keys", "no JSON"),
    ],
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


def test_settings_that_cannot_be_obeyed_end_the_process_with_all_of_them(model_dir: Path) -> None:
    done = run(
        model_dir,
        "serve",
        SAGEMAKER_BIND_TO_PORT="http",
        SAGEMAKER_MODEL_SERVER_WORKERS="0",
        SAGEMAKER_MODEL_SERVER_TIMEOUT="60",
    )
    reason = last_words(done)
    assert all(variable in reason for variable in ("BIND_TO_PORT", "WORKERS", "TIMEOUT"))


def test_too_few_files_end_the_process_with_the_reason(model_dir: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = run(model_dir, "serve", start=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500)))
    assert "only 500 files may be open" in last_words(done)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_a_model_directory_is_only_read(model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    with serving(folder) as server:
        assert server.judge(IMAGE).status == 200
        os.kill(server.workers()[0], signal.SIGKILL)  # so that another nursery loads it
        server.wait_for("worker ended")
        server.workers()
        assert server.judge(IMAGE).status == 200
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_a_taken_port_ends_the_process(model_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(model_dir, "serve", SAGEMAKER_BIND_TO_PORT=str(taken.getsockname()[1]))
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()  # the processes that are left waiting end without a word
    assert "in use" in json.loads(line)["event"]


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
