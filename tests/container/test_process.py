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
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.container import processes, samples
from tests.container.serving import ROOT, SERVE, answer_on, connect, environment, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.container.serving import Server

IMAGE = samples.png(samples.scan())


def run(model_dir: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the process to its end, for starts that fail."""
    return subprocess.run(
        [sys.executable, "-m", "container", *arguments],
        cwd=ROOT,
        env=environment(model_dir, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def reason_to_fail(done: subprocess.CompletedProcess[str]) -> str:
    """Check that a start failed with critical events only, and return the reason of the first."""
    assert done.returncode == 1
    assert done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["level"] for event in events} == {"critical"}
    return str(events[0]["reason"])


def changed(**values: object) -> Callable[[bytes], bytes]:
    return lambda metadata: json.dumps(json.loads(metadata) | values).encode()


NETWORK, METADATA = "model.tflite", "metadata.json"
WRONG_KEYS = (
    b'{"schema": 1, "threshold": "high", "labels": ["NO"], "heatmap": {"low": 2, "high": 2}, '
    b'"refusal": {"threshold": 37}, "reliability": {"threshold": NaN}}'
)
# The file that is changed, or deleted, and what the reason must name.
UNUSABLE: dict[str, tuple[str, Callable[[bytes], bytes] | None, list[str]]] = {
    "no network": (NETWORK, None, [NETWORK, "cannot be loaded"]),
    "no metadata": (METADATA, None, [METADATA, "No such file"]),
    "a network short of a byte": (NETWORK, lambda data: data[:-1], [NETWORK, "cannot be loaded"]),
    "a newer schema": (
        METADATA,
        changed(schema=4),
        [METADATA, "schema must be a whole", "from 2 to 3, not 4"],
    ),
    "another network": (
        METADATA,
        changed(known_answer={"input": "ramp", "logit": 2.26}),
        ["not the network that was exported"],
    ),
    "another size": (METADATA, changed(input={"size": 64}), ["(1, 32, 32, 1)", "64"]),
    "wrong keys": (
        METADATA,
        lambda _: WRONG_KEYS,
        [
            *("schema must be", '"high"', "labels.1", "input.size", "heatmap.width", "known_answer"),
            "heatmap.high must be above heatmap.low, not 2",
            "refusal.threshold must be a number from 0 to 1, not 37",
            "reliability.threshold must be a number from -1e+06 to 1e+06, not NaN",
        ],
    ),
    "broken JSON": (METADATA, lambda _: b'{"schema": 3,', [METADATA, "JSON"]),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_model_ends_the_process_with_the_reason(
    model_dir: Path, tmp_path: Path, name: str
) -> None:
    file, change, reasons = UNUSABLE[name]
    path = shutil.copytree(model_dir, tmp_path / "model") / file
    if change:
        path.write_bytes(change(path.read_bytes()))
    else:
        path.unlink()
    reason = reason_to_fail(run(path.parent, "serve"))
    assert all(part in reason for part in reasons), reason


def test_a_network_without_an_output_of_its_metadata_is_an_unusable_model(
    old_model_dir: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(old_model_dir, tmp_path / "model") / METADATA
    path.write_bytes(changed(schema=3)(path.read_bytes()))
    assert "no familiarity logit" in reason_to_fail(run(path.parent, "serve"))


def test_wrong_settings_end_the_process_with_the_reason(model_dir: Path) -> None:
    assert "BIND_TO_PORT" in reason_to_fail(run(model_dir, "serve", SAGEMAKER_BIND_TO_PORT="http"))


def test_a_limit_of_1024_open_files_is_enough(model_dir: Path) -> None:
    with serving(model_dir, ["prlimit", "--nofile=1024:1024", *SERVE]) as server, ExitStack() as clients:
        for _ in range(500):
            clients.enter_context(connect(server.port))
        assert server.predict(IMAGE).status == 200
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for("worker ended")
        server.workers()
        assert server.predict(IMAGE).status == 200


def test_connections_that_do_not_fit_into_the_open_files_are_closed(model_dir: Path) -> None:
    # Given more connections than files, the first of them with a request
    with serving(model_dir, ["prlimit", "--nofile=256:512", *SERVE]) as server, ExitStack() as clients:
        first = server.connect()
        for _ in range(700):
            clients.enter_context(connect(server.port))
            first.request("GET", "/ping")
            assert answer_on(first).status == 200
        # When one more comes, Then it is closed at once, the log is quiet, and the first is still served
        assert clients.enter_context(connect(server.port)).recv(1) == b""
        first.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
        assert answer_on(first).status == 200
        assert {line["level"] for line in server.events()} == {"info"}


def test_the_request_that_ends_a_freeze_is_answered(model_dir: Path) -> None:
    code = "import container.server as it; it.KEEP_ALIVE_S = 1; import container.__main__ as own; own.main()"
    with serving(model_dir, [sys.executable, "-c", code, "serve"]) as server:
        # Given an idle connection, and a server that is frozen for longer than it keeps one
        connection = server.connect()
        connection.request("GET", "/ping")
        assert answer_on(connection).status == 200
        processes.stop(server.process.pid)
        time.sleep(3)
        # When it goes on, and a request comes a moment later, Then it is answered
        server.process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        connection.request("GET", "/ping")
        assert answer_on(connection).status == 200
        # And a connection that is idle without a freeze is closed as before
        assert connection.sock.recv(1) == b""


def test_a_taken_port_ends_the_process(model_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(model_dir, "serve", SAGEMAKER_BIND_TO_PORT=str(taken.getsockname()[1]))
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()  # the workers end silently
    assert "in use" in json.loads(line)["event"]


def test_help_names_the_command_and_the_variables(model_dir: Path) -> None:
    done = run(model_dir, "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("serve", "MODEL_DIR", "BIND_HOST", "MODEL_SHA256"))
    assert run(model_dir).returncode == run(model_dir, "train").returncode == 2


def send_sigterm(server: Server) -> None:
    server.process.terminate()


def press_ctrl_c(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does, which reaches the workers too


@pytest.mark.parametrize("stop", [send_sigterm, press_ctrl_c])
def test_a_stopping_server_completes_an_upload(model_dir: Path, stop: Callable[[Server], None]) -> None:
    with serving(model_dir) as server:
        # Given an idle connection and a half-finished upload
        workers = server.workers()
        idle = server.connect()
        idle.request("GET", "/ping")
        assert answer_on(idle).status == 200
        upload = server.connect()
        upload.putrequest("POST", "/invocations")
        upload.putheader("content-type", "image/png")
        upload.putheader("content-length", str(len(IMAGE)))
        upload.endheaders(IMAGE[:100])
        server.request("GET", "/ping")
        # When the server is stopped
        stop(server)
        processes.wait_until(lambda: not listens(server.port), "the server stops listening")
        assert server.process.poll() is None
        # Then the upload is completed and answered, and no process stays
        upload.send(IMAGE[100:])
        assert answer_on(upload).status == 200
        assert server.process.wait(timeout=30) == 0
        processes.wait_until_all_ended(workers)
        assert server.wait_for("stopped")
        assert {line["level"] for line in server.events()} == {"info"}


def listens(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_health_check_passes_only_while_the_server_is_up(model_dir: Path) -> None:
    def health(port: int) -> int:
        check = [sys.executable, "-m", "container.ping"]
        environ = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port)}
        return subprocess.run(check, cwd=ROOT, env=environ, capture_output=True, check=False).returncode

    with serving(model_dir) as server:
        assert health(server.port) == 0
    assert health(server.port) == 1
