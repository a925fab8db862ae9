"""The demo's environment as `scripts/monitor` watches it: by captured answers, or by the gateway's log."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

import boto3
import numpy as np
import requests

from infra import config, names
from infra.config.hosting import RealTime
from infra.emulator.sagemaker.capture import WRITTEN_AFTER_S
from infra.local_aws import ACCOUNT
from infra.release import artifact_key
from scripts.commands import monitor as command
from scripts.monitoring.drift import Histograms, reference_of, shifts
from scripts.monitoring.records import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from infra.config import Settings
    from tests.e2e.conftest import Demo

Source = Literal["capture", "log"]
SOURCES: tuple[Source, ...] = ("capture", "log")
CLIENTS = 8
WAIT_S = 30  # for answers to be written


@dataclass
class Watched:
    """Sends images, and runs the command in this process, in which a user's variables are set."""

    demo: Demo
    patch: pytest.MonkeyPatch

    def settings(self, by: Source) -> Settings:
        """Return the demo's settings; without capture, the log is what is read."""
        found = config.load("local", folder=self.demo.root / "infra" / "environments")
        assert isinstance(found.hosting, RealTime)
        assert found.hosting.data_capture
        return found if by == "capture" else replace(found, hosting=replace(found.hosting, data_capture=None))

    def answered(self, by: Source) -> int:
        """Count the answers that can be read by now."""
        return sum(1 for _ in records(self.settings(by), since=datetime.now(UTC) - timedelta(hours=1)))

    def forget(self) -> None:
        """Remove what was captured and logged."""
        time.sleep(2 * WRITTEN_AFTER_S)  # for what other tests sent last
        s3, logs = self.demo.client("s3"), self.demo.client("logs")
        bucket = names.bucket("local", "sample", account=ACCOUNT, region=self.settings("log").region)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for each in page.get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=each["Key"])
        group = self.demo.outputs(names.stack("local", "gateway"))["LogGroupName"]
        logs.delete_log_group(logGroupName=group)
        logs.create_log_group(logGroupName=group)

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send images at the same time, wait until they can be watched, and return answers and refusals."""
        before, own = [self.answered(by) for by in SOURCES], threading.local()

        def predict(image: bytes) -> dict[str, Any]:
            own.session = getattr(own, "session", None) or requests.Session()
            headers = {"Content-Type": "image/png"}
            response = own.session.post(f"{self.demo.url}/predict", data=image, headers=headers, timeout=60)
            assert response.status_code in {200, 422}, response.text
            answer: dict[str, Any] = response.json()
            return answer

        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(predict, images))
        answered = sum("label" in each for each in answers)
        for by, earlier in zip(SOURCES, before, strict=True):
            deadline = time.monotonic() + WAIT_S
            while self.answered(by) < earlier + answered:
                assert time.monotonic() < deadline, f"not all answers are in the {by}"
                time.sleep(WRITTEN_AFTER_S / 2)
        return answers

    def monitor(self, by: Source) -> tuple[int, dict[str, Any]]:
        """Run `scripts/monitor --env local --json`; return its exit status and its report."""
        settings = self.settings(by)
        with self.patch.context() as patch, redirect_stdout(io.StringIO()) as printed:
            patch.setattr(config, "load", lambda _: settings)
            status = command.main(["--env", "local", "--since", "1h", "--json"])
        report: dict[str, Any] = json.loads(printed.getvalue())
        assert ("captured answers in" in report["source"]) == (by == "capture")
        return status, report

    def resampled(self, images: int, *, times: int) -> Iterator[set[str]]:
        """Draw so many of the captured answers with replacement, and yield which statistics drift then."""
        settings, rng = self.settings("capture"), np.random.default_rng(16)
        found = list(records(settings, since=datetime.now(UTC) - timedelta(hours=1)))
        bucket = names.bucket("local", "models", account=ACCOUNT, region=settings.region)
        key = artifact_key(found[0].model_sha256)
        artifact = self.demo.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        known = reference_of(io.BytesIO(artifact))
        for _ in range(times):
            counted = Histograms(known)
            for place in rng.integers(len(found), size=images):
                counted.add(found[place])
            yield {each.statistic for each in shifts(counted) if each.verdict == "drift"}

    def logs(self) -> str:
        """Return all logs: the demo's, the emulator's with those of its container, and CloudWatch's."""
        logs, files = self.demo.client("logs"), (self.demo.root / ".local" / "demos").rglob("*.log")
        found = [path.read_text(errors="replace") for path in files]
        for group in logs.describe_log_groups()["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            found += [event["message"] for page in pages for event in page["events"]]
        return "\n".join(found)


@contextmanager
def watching(demo: Demo, patch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Let this process reach the demo as a user's shell does, while the block lasts."""
    store = f"sqlite:///{demo.root / 'mlruns' / 'mlflow.db'}"
    variables = {**demo.environment, "MLFLOW_TRACKING_URI": store}
    patch.chdir(demo.root)  # MLflow keeps artifacts where it is
    patch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock.patch.dict(os.environ, variables, clear=True):
        yield Watched(demo, patch)
