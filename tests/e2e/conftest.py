"""The whole path as a user runs it: the public commands only, in a copy of the tree, on a free port."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from playwright.sync_api import sync_playwright

from infra.local_aws import local_environment
from infra.paths import ROOT
from tests.browser import find_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Page

STAMP = ".installed"  # scripts/_setup.py writes it into a complete environment
START_LIMIT_S = 840  # below the limit of a test
WATCHED = """\
[hosting.data_capture]
percent = 100
expire_days = 1

[feedback]
expire_days = 1

"""


@dataclass(frozen=True)
class Clone:
    """A copy of the tree, whose commands reach the emulator at a port; with a role's keys where given."""

    root: Path
    port: int
    credentials: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def environment(self) -> dict[str, str]:
        return {**local_environment(clean_environment(), port=self.port), **self.credentials}

    def client(self, service: str) -> Any:
        """Return a boto3 client of this emulator."""
        known = self.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=known["AWS_ENDPOINT_URL"],
            region_name=known["AWS_REGION"],
            aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=known.get("AWS_SESSION_TOKEN"),
        )

    def run(
        self, *command: str, check: bool = True, typed: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the project's commands in the copy; `typed` goes to its standard input."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, input=typed,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def outputs(self, stack: str) -> dict[str, str]:
        """Return a stack's outputs by their keys."""
        [described] = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    def stacks(self) -> set[str]:
        listed = self.client("cloudformation").list_stacks()["StackSummaries"]
        return {each["StackName"] for each in listed if each["StackStatus"] != "DELETE_COMPLETE"}


@dataclass(frozen=True)
class Demo(Clone):
    """A running `scripts/demo` in its own copy of the tree."""

    url: str
    predictions: list[dict[str, object]]


def clean_environment() -> dict[str, str]:
    """Return the shell's environment without anything that leads to data, a store or an account."""
    ours = {"TUMOR_DATA", "MLFLOW_TRACKING_URI"}
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("AWS_")}
    return kept | {"PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def copy_tree(*, to: Path) -> Path:
    """Copy what a clone would hold.

    The environment's content is linked, which saves a second set-up; its stamp names the copy.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    (to / "node_modules").symlink_to(ROOT / "node_modules")
    (to / ".venv").mkdir()
    for each in (ROOT / ".venv").iterdir():
        if each.name != STAMP:
            (to / ".venv" / each.name).symlink_to(each)
    stamp = (ROOT / ".venv" / STAMP).read_text()
    (to / ".venv" / STAMP).write_text(stamp.replace(str(ROOT), str(to)))
    return to


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`scripts/demo`, trained on phantoms, with capture and feedback; stopped as Ctrl-C stops it."""
    copy, port = copy_tree(to=tmp_path_factory.mktemp("clone")), free_port()
    settings = copy / "infra" / "environments" / "local.toml"
    settings.write_text(settings.read_text().replace("[throttle]", f"{WATCHED}[throttle]"))
    printed, log = (tmp_path_factory.mktemp("demo") / name for name in ("stdout", "stderr"))
    with printed.open("w") as output, log.open("w") as errors:
        process = subprocess.Popen(
            ["scripts/demo", "--json", "--port", str(port)],
            cwd=copy, env=clean_environment(), stdout=output, stderr=errors, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not (results := re.findall(r"^{.*}$", printed.read_text(), re.MULTILINE)):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"scripts/demo printed no JSON:\n{log.read_text()}")
            time.sleep(0.2)
        result = json.loads(results[0])
        yield Demo(copy, port, result["url"], result["predictions"])
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh Chromium page; any error that it reports fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
        assert errors == []
