"""Starting and stopping the laptop's AWS: nothing is left, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import botocore.utils
import pytest
import requests

from infra.local import LocalAws, LocalAwsError, client_environment, gateway_url
from tests.local.cloud import FAKE_SERVER, Cloud, wait_for

ROOT = Path(__file__).resolve().parents[2]

# A program that brings an endpoint up, says so, and stays.
STARTER = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from infra.local import LocalAws
from tests.local.cloud import FAKE_SERVER, Cloud
with LocalAws(port=0, engine="process", program=[str(FAKE_SERVER)]) as aws:
    cloud = Cloud(aws)
    cloud.endpoint(cloud.config(answer=""))
    print(aws.port, flush=True)
    time.sleep(60)
"""


def processes_of(directory: Path) -> list[str]:
    """The command lines of all processes whose temporary files are in a directory."""
    wanted = f"TMPDIR={directory}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_environment_is_all_that_boto3_needs(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in cloud.aws.environment.items():
        monkeypatch.setenv(key, value)
    assert (
        boto3.client("sts").get_caller_identity()["Account"] == cloud.aws.environment["CDK_DEFAULT_ACCOUNT"]
    )


def test_client_environment_keeps_the_port_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4999")
    assert client_environment()["AWS_ENDPOINT_URL"] == "http://localhost:4999"
    assert gateway_url("api", "v1") == "http://localhost:4999/restapis/api/v1/_user_request_"


@pytest.mark.parametrize("spelling", ["no_proxy", "NO_PROXY"])
def test_a_shells_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    # Given a shell with a proxy, and hosts that it is not for
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example.org:3128")
    monkeypatch.setenv(spelling, "intranet.example.org")

    # When it is pointed at the laptop's AWS, even twice
    for _ in range(2):
        for key, value in client_environment(port=4999).items():
            monkeypatch.setenv(key, value)

    # Then the proxy is asked for other hosts only
    asked = ("localhost:4999", "127.0.0.1:4999", "api.execute-api.localhost:4999", "intranet.example.org")
    for host in asked:
        assert requests.utils.get_environ_proxies(f"http://{host}/") == {}, host
        assert botocore.utils.get_environ_proxies(f"http://{host}/") == {}, host
    assert requests.utils.get_environ_proxies("http://example.com/")
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    assert os.environ["no_proxy"].count("127.0.0.1") == 1


def test_printed_environment_points_a_shell_at_it(cloud: Cloud) -> None:
    printed = f"{sys.executable} -m infra.local --port {cloud.aws.port} --print-environment"
    ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    answered = subprocess.run(
        ["sh", "-c", f'eval "$({printed})"; {sys.executable} -c "{ask}"'],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "AWS_PROFILE": "another"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert answered.stdout.strip() == cloud.aws.account


def test_starts_empty_each_time() -> None:
    for _ in range(2):
        with LocalAws(port=0, engine="process") as aws:
            s3 = boto3.client("s3", endpoint_url=aws.endpoint_url, aws_access_key_id="000000000000",
                              aws_secret_access_key="any", region_name="us-east-1")  # fmt: skip
            assert not s3.list_buckets()["Buckets"]
            s3.create_bucket(Bucket="forgotten")


def test_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(LocalAwsError, match=rf"^Port {port} of 127\.0\.0\.1 .*--port\.$"),
            LocalAws(port=port),
        ):
            pass
        alone = subprocess.run(
            [sys.executable, "-m", "infra.local", "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert alone.returncode == 1
    assert alone.stderr.startswith(f"Port {port} of 127.0.0.1")
    assert len(alone.stderr.splitlines()) == 1


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_what_is_no_port_is_one_clear_line(port: int) -> None:
    with pytest.raises(LocalAwsError, match=rf"^Port {port} .*--port\.$"), LocalAws(port=port):
        pass


def test_failed_start_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no docker command on it
    with pytest.raises(LocalAwsError, match="Docker was asked for"), LocalAws(port=0, engine="docker"):
        pass


def test_stop_ends_endpoints_and_removes_files(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    with LocalAws(port=0, engine="process", log=log, program=[str(FAKE_SERVER)]) as aws:
        cloud = Cloud(aws)
        endpoint = cloud.endpoint(cloud.config(answer=""))
        directory = Path(cloud.ask(endpoint)["environment"]["TMPDIR"])
        assert any("fake_server" in process for process in processes_of(directory))
    assert not processes_of(directory)
    assert not directory.exists()
    assert "Declared but not emulated" in log.read_text()


@pytest.mark.parametrize("whose", ["starter", "emulator"])
def test_kill_leaves_no_process(whose: str) -> None:
    # Given a program that started a laptop's AWS with an endpoint
    starter = subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    port = int(starter.stdout.readline())
    [emulator] = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if f"--port\0{port}\0" in _command_line(process) and int(process.name) != os.getpid()
    ]
    directory = Path(_command_line(Path(f"/proc/{emulator}")).split("--scratch\0")[1].split("\0")[0])
    assert any("fake_server" in process for process in processes_of(directory))

    # When it, or the emulator, is killed so that it cannot clean up
    os.kill(starter.pid if whose == "starter" else emulator, signal.SIGKILL)

    # Then all that either started is soon gone
    wait_for(lambda: not processes_of(directory) and not answers(port))
    starter.send_signal(signal.SIGINT)  # a starter that still lives removes its emulator's files when it ends
    starter.wait()
    wait_for(lambda: not directory.exists())


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_pages_of_other_hosts_are_refused(cloud: Cloud) -> None:
    url = f"{cloud.aws.endpoint_url}/_ministack/health"
    port = cloud.aws.port

    def status(**headers: str) -> int:
        return requests.get(url, headers=headers, timeout=10).status_code

    assert status(Origin="https://example.org") == 403
    assert status(Host=f"rebound.example.org:{port}") == 403
    assert status(Origin=f"http://localhost:{port}") == 200
    assert status(Host=f"api.execute-api.localhost:{port}") == 200


def test_stop_takes_no_longer_than_a_breath() -> None:
    with LocalAws(port=0, engine="process", program=[str(FAKE_SERVER)]) as aws:
        cloud = Cloud(aws)
        cloud.endpoint(cloud.config(answer=""))
        began = time.monotonic()
    assert time.monotonic() - began < 5
