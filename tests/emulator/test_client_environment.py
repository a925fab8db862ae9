"""Clients reach local AWS whatever the shell and the user's files configure for AWS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.utils
import pytest
import requests

from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT, client_environment, gateway_url, local_environment
from infra.paths import ROOT
from tests.emulator.cloud import Cloud
from tests.emulator.conftest import misleading_shell

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT_OF_CALLER = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"


@pytest.fixture
def shell(tmp_path: Path) -> Mapping[str, str]:
    """A shell with every setting that points SDKs at other AWS endpoints."""
    return {"PATH": os.environ["PATH"], **misleading_shell(tmp_path)}


def run(command: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_both_environments_reach_it_whatever_the_shell_sets(cloud: Cloud, shell: Mapping[str, str]) -> None:
    program = f'{sys.executable} -c "{ACCOUNT_OF_CALLER}"'
    printed = f"{sys.executable} -m infra.emulator --port {cloud.aws.port} --print-environment"
    environment = local_environment(shell, port=cloud.aws.port)
    assert "AWS_SESSION_TOKEN" not in environment
    assert run(program, environment) == ACCOUNT
    assert run(f'eval "$({printed})"; {program}', shell) == ACCOUNT


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://127.0.0.1:4999", 4999),
        ("http://localhost:4999", 4999),
        ("https://sts.eu-west-1.amazonaws.com", 4566),
        ("http://proxy.example.org:4999", 4566),
    ],
)
def test_the_port_in_use_is_kept_and_another_host_is_not(
    monkeypatch: pytest.MonkeyPatch, url: str, port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert client_environment()["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port}"
    assert gateway_url("api", "v1") == f"http://127.0.0.1:{port}/restapis/api/v1/_user_request_"


@pytest.mark.parametrize("spelling", ["no_proxy", "NO_PROXY"])
def test_no_proxy_is_used_for_local_hosts(monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    # Given a shell with a proxy, and a host that it is not for
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv(spelling, "intranet.example.org")

    # When it is pointed at local AWS, even twice
    for _ in range(2):
        for key, value in client_environment(port=4999).items():
            monkeypatch.setenv(key, value)

    # Then the proxy is used for other hosts only
    local = ("localhost:4999", "127.0.0.1:4999", "api.execute-api.localhost:4999", "intranet.example.org")
    for host in local:
        assert requests.utils.get_environ_proxies(f"http://{host}/") == {}, host
        assert botocore.utils.get_environ_proxies(f"http://{host}/") == {}, host
    assert requests.utils.get_environ_proxies("http://example.com/")
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    assert os.environ["no_proxy"].count("127.0.0.1") == 1


class IPv6Server(HTTPServer):
    address_family = 10  # AF_INET6


def test_another_server_on_the_same_port_of_ipv6_gets_no_request() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with IPv6Server(("::1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with LocalAws(port=other.server_address[1], engine="process") as aws:
            assert Cloud(aws).client("sts").get_caller_identity()["Account"] == ACCOUNT
        other.shutdown()
