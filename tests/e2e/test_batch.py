"""`scripts/batch` on the demo: broken images, a killed command, a stopped job, a deleted object, resuming."""

from __future__ import annotations

import io
import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from infra import names
from infra.local_aws import ACCOUNT
from model.data import negatives, phantom
from tests.emulator.cloud import wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Demo

MOST_MB = 150  # of the command's memory, whatever the number of images
BUCKET = names.batch_bucket("local", account=ACCOUNT, region="us-east-1")
COMPARED = 1000  # images, besides those that are refused
ODD = ("a b %2F ü#?+.png", "ä/ö/c&'.png", '"quoted".png')


def draw(folder: Path, count: int) -> None:
    """Draw images, of which one in a hundred is broken or no brain MRI."""
    for number in range(count):
        file = io.BytesIO()
        drawn = phantom.draw(seed=number % 500, lesion=number % 2 == 0)
        if number % 100 == 50:
            drawn = negatives.draw(negatives.KINDS[number % len(negatives.KINDS)], seed=number)
        drawn.save(file, "PNG")
        data = file.getvalue()
        if number % 200 == 150:
            data = data[: len(data) // 2] if number % 400 == 150 else b"no image"
        path = folder / (ODD[number] if number < len(ODD) else f"{number % 10}/{number:05}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def listed(demo: Demo, part: str, *, but: set[str] | frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return keys of the batch bucket and when each was written."""
    pages = demo.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    found = {each["Key"]: each["LastModified"] for page in pages for each in page.get("Contents", [])}
    return {key: time for key, time in found.items() if part in key and key not in but}


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_image_is_answered_once_whatever_ends_in_between(
    demo: Demo, tmp_path: Path, count: int
) -> None:
    # Given images, a command that is killed, one of its jobs stopped, and an object deleted
    images, output, log = tmp_path / "images", tmp_path / "out", tmp_path / "log"
    draw(images, count)
    earlier = set(listed(demo, "/"))
    command = ["scripts/batch", str(images), str(output), "--env", "local", "--json"]
    split = ["--images-per-job", str(count // 4), "--instances", "2"]
    with log.open("w") as errors:
        killed = subprocess.Popen([*command, *split], cwd=demo.root, env=demo.environment, stderr=errors)
    wait_for(lambda: len(listed(demo, "/answers/", but=earlier)) > count // 8, timeout_s=600)
    killed.kill()
    killed.wait()
    sagemaker = demo.client("sagemaker")
    for each in sagemaker.list_transform_jobs(StatusEquals="InProgress")["TransformJobSummaries"][:1]:
        sagemaker.stop_transform_job(TransformJobName=each["TransformJobName"])
    last = max(key for key in listed(demo, "/images/", but=earlier) if "/answers/" not in key)
    demo.client("s3").delete_object(Bucket=BUCKET, Key=last)
    before = listed(demo, "/answers/", but=earlier)
    assert 0 < len(before) < count
    # When it is called again, and then as it should be
    refused = demo.run(*command, check=False)
    assert (refused.returncode, "--resume continues it" in refused.stderr) == (1, True)
    began = time.monotonic()
    with (tmp_path / "printed").open("w") as printed, log.open("a") as errors:
        resumed = subprocess.Popen(
            [*command, *split, "--resume"], cwd=demo.root, env=demo.environment, stdout=printed, stderr=errors
        )
    peak = 0.0
    while resumed.poll() is None:
        peak = peak_memory(resumed.pid) or peak
        time.sleep(0.2)
    # Then every image has one answer, and no answer was written twice
    assert resumed.returncode == 0, log.read_text()
    report = json.loads((tmp_path / "printed").read_text())
    print(report, f"{peak:.0f} MB, {time.monotonic() - began:.0f} s")
    assert (report["images"], report["answered"], report["unanswered"]) == (count, count, [])
    assert before.items() <= listed(demo, "/answers/").items()
    assert 50 < peak < MOST_MB
    lines = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    assert [each["key"] for each in lines] == sorted(
        path.relative_to(images).as_posix() for path in files(images)
    )
    gone = lines[[each["key"] for each in lines].index(last.partition("/images/")[2])]
    assert gone["problem"]["status"] == 410
    # And each is that of POST /predict
    compared = [line for line in lines if "problem" in line and line != gone]
    assert len(compared) >= count // 100
    compared += lines[:: max(1, count // COMPARED)]
    with ThreadPoolExecutor(4) as pool:
        given = pool.map(lambda line: predicted(demo, images / line["key"]), compared)
        assert [
            line
            for line, answer in zip(compared, given, strict=True)
            if line != gone and without_key(line) != answer
        ] == []


def peak_memory(pid: int) -> float:
    """Return the most megabytes that a process has held; 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1024 if found else 0


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def without_key(line: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in line.items() if name != "key"}
    return dict(rest.get("problem", rest))


def predicted(demo: Demo, path: Path) -> dict[str, Any]:
    """Return the gateway's answer to an image, without its request's id."""
    kind = {"Content-Type": "application/octet-stream"}
    answer = requests.post(f"{demo.url}/predict", path.read_bytes(), headers=kind, timeout=60).json()
    return {name: value for name, value in answer.items() if name != "request_id"}
