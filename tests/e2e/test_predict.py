"""`scripts/predict` through the real path: every image has its answer, and a throttle only takes longer."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from PIL import Image

from model import phantom
from scripts.delivery.predict import images_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.conftest import Laptop

ANSWERS = {"YES", "NO", "refused"}
RATE = 5  # images a second, in the test of the throttle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real images where `TUMOR_DATA` names them, else drawn ones and one that is none."""
    if real := os.environ.get("TUMOR_DATA"):
        return Path(real)
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(20):
        (folder / f"{seed}.png").write_bytes(phantom.png(seed=seed, lesion=seed % 2 == 0))
    Image.new("L", (200, 200)).save(folder / "=blank+.png")
    return folder


@pytest.fixture
def throttled(laptop: Laptop) -> Iterator[None]:
    """The stage's throttle at `RATE`, in the place of the declared one."""
    found = re.search(r"/restapis/(\w+)/(\w+)/", laptop.url)
    assert found
    gateway, stage = laptop.client("apigateway"), {"restApiId": found[1], "stageName": found[2]}
    declared = gateway.get_stage(**stage)["methodSettings"]["*/*"]

    def throttle(rate: float, burst: int) -> None:
        values = {"rateLimit": rate, "burstLimit": burst}
        gateway.update_stage(
            **stage,
            patchOperations=[
                {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(value)}
                for name, value in values.items()
            ],
        )

    throttle(RATE, RATE)
    yield
    throttle(declared["throttlingRateLimit"], declared["throttlingBurstLimit"])


def predict(laptop: Laptop, paths: Sequence[Path], *arguments: str) -> list[dict[str, str]]:
    done = laptop.run("scripts/predict", *map(str, paths), "--format", "csv", *arguments)
    return list(csv.DictReader(io.StringIO(done.stdout, newline="")))


def test_every_image_has_a_prediction_or_a_refusal(laptop: Laptop, folder: Path) -> None:
    images = images_of([folder])

    rows = predict(laptop, [folder], "--parallel", "4")

    assert [row["file"].lstrip("'") for row in rows] == [str(image) for image in images]
    assert {row["answer"] for row in rows} <= ANSWERS
    assert {row["status"] for row in rows if row["answer"] == "refused"} <= {"422"}
    assert len({row["request_id"] for row in rows}) == len(images)
    health = requests.get(f"{laptop.url}/health", timeout=60).json()
    assert {row["sha256"] for row in rows} - {""} == {health["model"]["sha256"]}
    for image, row in list(zip(images, rows, strict=True))[:: len(images) // 5]:
        answer = requests.post(
            f"{laptop.url}/predict",
            data=image.read_bytes(),
            headers={"Content-Type": "application/octet-stream"},
            timeout=60,
        )
        assert answer.status_code == int(row["status"])
        told = answer.json()
        if answer.status_code == 200:
            assert (told["label"], told["probability"]) == (row["answer"], float(row["probability"]))
            assert (float(row["probability"]) >= float(row["threshold"])) == (row["answer"] == "YES")
        else:
            assert told["detail"] == row["detail"]


def test_odd_names_are_told_as_they_are_and_harm_no_table(laptop: Laptop, tmp_path: Path) -> None:
    # Given a scan and a blank image with names that a spreadsheet or a terminal would act upon
    (tmp_path / "=1+1.png").write_bytes(phantom.png(seed=7, lesion=True))
    Image.new("L", (200, 200)).save(tmp_path / "a\x1b[31m, b.png")

    # When they are asked about in each format
    table = laptop.run("scripts/predict", str(tmp_path)).stdout
    told = json.loads(laptop.run("scripts/predict", str(tmp_path), "--format", "json", "--heatmap").stdout)

    # Then the table has a line for each, written out, and JSON has all of it
    lines = table.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        f"{tmp_path}/=1+1.png", rf"{tmp_path}/a\x1b[31m, b.png"
    ]  # fmt: skip
    assert re.search(r"(YES|NO) +0\.\d{4} +0\.\d{4}$", lines[1])
    assert "refused" in lines[2]
    scan, blank = told
    assert scan["prediction"]["heatmap"]["values"]
    assert (blank["file"], blank["answer"]) == (f"{tmp_path}/a\x1b[31m, b.png", "refused")


@pytest.mark.usefixtures("throttled")
def test_a_throttle_is_obeyed(laptop: Laptop, folder: Path) -> None:
    images = images_of([folder])[:20]
    began = time.monotonic()

    rows = predict(laptop, images, "--parallel", "16")

    assert len(rows) == len(images)
    assert {row["answer"] for row in rows} <= ANSWERS
    assert time.monotonic() - began > len(images) / RATE - 1, "the throttle was not in force"
