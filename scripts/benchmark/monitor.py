"""Measures `scripts/monitor` on synthetic captured answers in local AWS: its time and its peak memory."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import boto3
import numpy as np

from infra import config, names
from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT, REGION, local_environment
from infra.release import artifact_key
from model.release.export import pack
from scripts.console import step
from scripts.delivery.program import output
from scripts.monitoring.drift import FILE, SCHEMA
from scripts.monitoring.records import NUMBERS

RECORDS = 1_000_000
IN_A_FILE = 5_000  # every file has the same, under a key of its own
_ENVIRONMENT, _SHA256 = "bench", "be" * 32
_CAPTURE = "\n[hosting.data_capture]\npercent = 100\nexpire_days = 1\n"
# It reads its own peak memory: a parent gets the peak of a child together with its own, from before exec.
_COMMAND = """
import functools, pathlib, re, sys
from infra import config
from scripts.commands import monitor
config.load = functools.partial(config.load, folder=pathlib.Path(sys.argv[1]))
status = monitor.main(["--env", sys.argv[2], "--since", "1d", "--json"])
print(re.search("VmHWM:[ \\t]+([0-9]+)", pathlib.Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


def measure(records: int) -> str:
    """Run the command as a process of its own on so many records, in whole files, and say what it took."""
    with tempfile.TemporaryDirectory() as scratch, LocalAws(port=0, engine="process", region=REGION) as aws:
        variables = local_environment(os.environ, port=aws.port)
        variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        settings = (config.ENVIRONMENTS / "local.toml").read_text() + _CAPTURE
        (Path(scratch) / f"{_ENVIRONMENT}.toml").write_text(settings)
        with step(f"writing {records:,} records"):
            size = _serve(aws.endpoint_url, files=-(-records // IN_A_FILE))
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-c", _COMMAND, scratch, _ENVIRONMENT]
        printed = output("scripts/monitor", command, env=variables)
        after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    *report, peak_kib = printed.splitlines()
    answers = json.loads("\n".join(report))["answers"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    time_s = f"{seconds:.1f} s ({cpu_s:.1f} s of processor time)"
    return f"{answers:,} records of {size} bytes: {time_s}, {int(peak_kib) * 1024 / 1e6:.0f} MB at most"


def _serve(url: str, *, files: int) -> int:
    """Put a model's artifact and its captured answers where SageMaker would; return the bytes of a record."""
    client = boto3.client(
        "s3", endpoint_url=url, region_name=REGION,
        aws_access_key_id=ACCOUNT, aws_secret_access_key="any",  # noqa: S106 - none is checked
    )  # fmt: skip
    place, now = {"account": ACCOUNT, "region": REGION}, datetime.now(UTC)
    models, captures = (
        names.bucket(_ENVIRONMENT, "models", **place),
        names.bucket(_ENVIRONMENT, "sample", **place),
    )
    for bucket in (models, captures):
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=models, Key=artifact_key(_SHA256), Body=_artifact())
    rows = np.random.default_rng(16).random((IN_A_FILE, len(NUMBERS))).round(4).tolist()
    content = "".join(_line(dict(zip(NUMBERS, row, strict=True)), now) for row in rows).encode()
    endpoint = names.endpoint(_ENVIRONMENT, mode="real-time")
    for _ in range(files):
        key = f"{endpoint}/{endpoint}/{names.VARIANT_NAME}/{now:%Y/%m/%d/%H/%M-%S}-000-{uuid.uuid4()}.jsonl"
        client.put_object(Bucket=captures, Key=key, Body=content)
    return len(content) // IN_A_FILE


def _artifact() -> bytes:
    """Pack the reference of evenly spread statistics, as those of `_serve` are."""
    even = {"edges": (np.arange(1, 20) / 20).tolist(), "counts": {"any": [50] * 20}}
    words = {"format": {"values": ["png"], "counts": {"any": [1000]}}}
    document = {"schema": SCHEMA, "statistics": dict.fromkeys(NUMBERS, even) | words}
    return pack({FILE: json.dumps(document).encode()})


def _line(statistics: dict[str, float], now: datetime) -> str:
    """Return a captured answer as SageMaker writes it."""
    model = {"name": "tumor-detector", "version": "1", "sha256": _SHA256}
    answer = {"label": "NO", "class": 0, "probability": statistics["probability"], "threshold": 1.0}
    answer |= {"model": model, "statistics": statistics | {"format": "png"}}
    output = {"observedContentType": "application/json", "mode": "OUTPUT", "encoding": "JSON"}
    ids = {name: str(uuid.uuid4()) for name in ("eventId", "inferenceId")}
    record = {
        "captureData": {"endpointOutput": output | {"data": json.dumps(answer)}},
        "eventMetadata": ids | {"inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"},
        "eventVersion": "0",
    }
    return json.dumps(record) + "\n"
