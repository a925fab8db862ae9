"""`scripts/batch` on the demo: broken images, a killed command, a stopped job, a deleted object, resuming."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from infra import names
from infra.local_aws import ACCOUNT
from model.data import negatives, phantom
from tests.container.samples import png
from tests.emulator.cloud import wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Demo

MOST_MB = 150  # of the command's memory, whatever the number of images
BUCKET = names.bucket("local", "batch", account=ACCOUNT, region="us-east-1")
ODD = ("a b %2F ü#?+.png", "ä/ö/c&'.png", '"quoted".png')


def draw(folder: Path, count: int) -> None:
    """Draw images, of which one in a hundred is broken or no brain MRI."""
    for number in range(count):
        data = no_mri(number // 100 % 8) if number % 100 == 50 else brain(number % 200)
        if number % 200 == 150:
            data = data[: len(data) // 2] if number % 400 == 150 else b"no image"
        path = folder / (ODD[number] if number < len(ODD) else f"{number % 10}/{number:05}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@cache
def brain(seed: int) -> bytes:
    return png(phantom.draw(seed=seed, lesion=seed % 2 == 0))


@cache
def no_mri(seed: int) -> bytes:
    return png(negatives.draw(negatives.KINDS[seed % len(negatives.KINDS)], seed=seed))


def listed(demo: Demo, prefix: str) -> dict[str, Any]:
    """Return keys of the batch bucket and when each was written."""
    pages = demo.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {each["Key"]: each["LastModified"] for page in pages for each in page.get("Contents", [])}


def runs(demo: Demo) -> set[str]:
    found = demo.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="runs/", Delimiter="/")
    return {each["Prefix"] for each in found.get("CommonPrefixes", [])}


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_image_is_answered_once_whatever_ends_in_between(
    demo: Demo, tmp_path: Path, count: int
) -> None:
    # Given images, a command that is killed, one of its jobs stopped, and an object deleted
    images, output, log = tmp_path / "images", tmp_path / "out", tmp_path / "log"
    draw(images, count)
    earlier = runs(demo)
    command = ["scripts/batch", str(images), str(output), "--env", "local", "--json"]
    command += ["--images-per-job", str(count // 4), "--instances", "2"]
    with log.open("w") as errors:
        killed = subprocess.Popen(command, cwd=demo.root, env=demo.environment, stderr=errors)
    wait_for(lambda: runs(demo) - earlier, timeout_s=60)
    (run,) = runs(demo) - earlier
    while len(listed(demo, f"{run}answers/")) <= count // 8:
        assert killed.poll() is None, log.read_text()
        time.sleep(1)
    killed.kill()
    killed.wait()
    sagemaker = demo.client("sagemaker")
    for each in sagemaker.list_transform_jobs(StatusEquals="InProgress")["TransformJobSummaries"][:1]:
        sagemaker.stop_transform_job(TransformJobName=each["TransformJobName"])
    last = max(listed(demo, f"{run}images/"))
    demo.client("s3").delete_object(Bucket=BUCKET, Key=last)
    before = listed(demo, f"{run}answers/")
    assert 0 < len(before) < count
    # When it is continued
    began, peak = time.monotonic(), 0.0
    with (tmp_path / "printed").open("w") as printed, log.open("a") as errors:
        resumed = subprocess.Popen(
            [*command, "--resume"], cwd=demo.root, env=demo.environment, stdout=printed, stderr=errors
        )
    while resumed.poll() is None:
        peak = peak_memory(resumed.pid) or peak
        time.sleep(0.2)
    # Then every image has one answer, and no answer was written twice
    assert resumed.returncode == 0, log.read_text()
    report = json.loads((tmp_path / "printed").read_text())
    print(report, f"{peak:.0f} MB, {time.monotonic() - began:.0f} s", log.read_text())
    assert (report["images"], report["answered"], report["unanswered"]) == (count, count, [])
    assert before.items() <= listed(demo, f"{run}answers/").items()
    assert 50 < peak < MOST_MB
    lines = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    found = {
        path.relative_to(images).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in images.rglob("*")
        if path.is_file()
    }
    assert [each["key"] for each in lines] == sorted(found)
    # And each is that of POST /predict, but for what was deleted
    distinct = {digest: images / name for name, digest in found.items()}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda path: predict(demo, path), distinct.values())
        predicted = dict(zip(distinct, answers, strict=True))
    differing = [line for line in lines if without_key(line) != predicted[found[line["key"]]]]
    assert [line["key"] for line in differing] == [last.removeprefix(f"{run}images/")]
    assert differing[0]["problem"]["status"] == 410
    assert sum("problem" in line for line in lines) > count // 100


def peak_memory(pid: int) -> float:
    """Return the most megabytes that a process has held; 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1024 if found else 0


def without_key(line: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in line.items() if name != "key"}
    return dict(rest.get("problem", rest))


def predict(demo: Demo, path: Path) -> dict[str, Any]:
    """Return the gateway's answer to an image, without its request's id."""
    kind = {"Content-Type": "application/octet-stream"}
    answer = requests.post(f"{demo.url}/predict", path.read_bytes(), headers=kind, timeout=60).json()
    return {name: value for name, value in answer.items() if name != "request_id"}
