"""The served OpenAPI document against the gateway: schemathesis with all of its checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.paths import ROOT

if TYPE_CHECKING:
    from tests.fuzz.deployment import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]


def test_schemathesis_finds_nothing(gateway: Gateway, seconds: float, tmp_path: Path) -> None:
    # When the command runs through its phases, with about as many requests for each path as seconds
    report = tmp_path / "requests.har"
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "run", f"{gateway.url}/openapi.json"),
        *("--url", gateway.url, "--header", f"x-api-key: {gateway.key}", "--checks", "all"),
        *("--max-examples", str(max(10, round(seconds))), "--seed", "1", "--generation-database", "none"),
        *("--report-har-path", report, "--no-color"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Then it finds nothing, and has had images classified
    assert done.returncode == 0, done.stdout + done.stderr
    entries = json.loads(report.read_text())["log"]["entries"]
    sent = {(entry["request"]["method"], entry["response"]["status"]) for entry in entries}
    assert {("POST", 200), ("POST", 400), ("GET", 200)} <= sent
