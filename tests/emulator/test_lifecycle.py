"""Starting and stopping local AWS: nothing is left, however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from infra.emulator import LocalAws
from infra.local_aws import LocalAwsError
from infra.paths import ROOT
from tests.emulator.cloud import FAKE_SERVER, Cloud, wait_for

# A program that brings an endpoint up, prints the emulator's process id, and stays until its input ends.
STARTER = """
import sys
from infra.emulator import LocalAws
from tests.emulator.cloud import FAKE_SERVER, Cloud
with LocalAws(port=0, engine="process", program=FAKE_SERVER) as aws:
    cloud = Cloud(aws)
    cloud.endpoint(cloud.config(answer=""))
    print(aws.process_id, flush=True)
    sys.stdin.read()
"""


def running_in(directory: Path) -> list[psutil.Process]:
    """The processes whose temporary files are in a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(directory):
                found.append(process)
        except psutil.Error:
            continue  # it ended meanwhile, or is another user's
    return found


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "infra.emulator", "--port", port]
        alone = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert alone.returncode == 1
    assert re.fullmatch(rf"Port {port} of 127\.0\.0\.1 .*--port\.\n", alone.stderr)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_one_clear_line(port: int) -> None:
    with pytest.raises(LocalAwsError, match=rf"^Port {port} .*--port\.$"), LocalAws(port=port):
        pass


def test_failed_start_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no docker command on it
    with pytest.raises(LocalAwsError, match="Docker was requested"), LocalAws(port=0, engine="docker"):
        pass


def test_stop_ends_endpoints_and_removes_files(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    with LocalAws(port=0, engine="process", log=log, program=FAKE_SERVER) as aws:
        cloud = Cloud(aws)
        endpoint = cloud.endpoint(cloud.config(answer=""))
        directory = Path(cloud.invoke(endpoint)["environment"]["TMPDIR"])
        assert running_in(directory)
    assert not running_in(directory)
    assert not directory.exists()
    assert f"Local AWS answers at {aws.endpoint_url}" in log.read_text()


@pytest.mark.parametrize("killed", ["starter", "emulator"])
def test_kill_leaves_no_process_and_no_file(killed: str) -> None:
    # Given a program that started local AWS with an endpoint
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert starter.stdin is not None
    assert starter.stdout is not None
    emulator = psutil.Process(int(starter.stdout.readline()))
    command = emulator.cmdline()
    directory = Path(command[command.index("--scratch") + 1])
    assert running_in(directory)

    # When it, or the emulator, is killed without a chance to clean up
    os.kill(starter.pid if killed == "starter" else emulator.pid, signal.SIGKILL)

    # Then everything that either started is soon gone
    wait_for(lambda: not running_in(directory) and ended(emulator))
    starter.stdin.close()  # a starter that still lives removes its emulator's files when it ends
    starter.wait()
    wait_for(lambda: not directory.exists())


def test_pages_of_other_hosts_are_refused(cloud: Cloud) -> None:
    def status(**headers: str) -> int:
        url = f"{cloud.aws.endpoint_url}/_ministack/health"
        return requests.get(url, headers=headers, timeout=10).status_code

    port = cloud.aws.port
    assert status(Origin="https://example.org") == 403
    assert status(Host=f"rebound.example.org:{port}") == 403
    assert status(Origin=f"http://localhost:{port}") == 200
    assert status(Host=f"api.execute-api.localhost:{port}") == 200
