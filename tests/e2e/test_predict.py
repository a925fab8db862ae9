"""`scripts/predict` through the real path: every image has a result."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest
import requests
from PIL import Image

from tests.e2e.load import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty scans, and a blank image whose name a spreadsheet would execute."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(20):
        (folder / f"{number:02}.png").write_bytes(IMAGE)
    Image.new("L", (200, 200)).save(folder / "=blank+.png")
    return folder


def predict(demo: Demo, folder: Path, *arguments: str) -> list[dict[str, str]]:
    done = demo.run("scripts/predict", str(folder), "--format", "csv", *arguments)
    return list(csv.DictReader(io.StringIO(done.stdout, newline="")))


def test_every_image_has_a_prediction_or_a_refusal(demo: Demo, folder: Path) -> None:
    rows = predict(demo, folder, "--parallel", "4")

    assert [row["file"].lstrip("'") for row in rows] == [str(image) for image in sorted(folder.iterdir())]
    assert len({row["request_id"] for row in rows}) == len(rows)
    [refused] = [row for row in rows if row["answer"] == "refused"]
    assert (refused["file"], refused["status"]) == (f"{folder}/=blank+.png", "422")
    health = requests.get(f"{demo.url}/health", timeout=60).json()
    answer = requests.post(
        f"{demo.url}/predict", data=IMAGE, headers={"Content-Type": "image/png"}, timeout=60
    )
    for row in (row for row in rows if row is not refused):
        assert row["sha256"] == health["model"]["sha256"]
        assert (row["answer"], float(row["probability"])) == (
            answer.json()["label"],
            answer.json()["probability"],
        )


def test_odd_names_are_printed_escaped_in_a_table_and_unchanged_in_json(demo: Demo, tmp_path: Path) -> None:
    # Given a scan and a blank image with names that a spreadsheet or a terminal would act upon
    (tmp_path / "=1+1.png").write_bytes(IMAGE)
    Image.new("L", (200, 200)).save(tmp_path / "a\x1b[31m, b.png")

    # When they are predicted in each format
    table = demo.run("scripts/predict", str(tmp_path)).stdout
    results = json.loads(demo.run("scripts/predict", str(tmp_path), "--format", "json", "--heatmap").stdout)

    # Then the table has an escaped line for each, and JSON has everything
    lines = table.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        f"{tmp_path}/=1+1.png", rf"{tmp_path}/a\x1b[31m, b.png"
    ]  # fmt: skip
    assert re.search(r"(YES|NO) +0\.\d{4} +0\.\d{4}$", lines[1])
    assert "refused" in lines[2]
    scan, blank = results
    assert scan["prediction"]["heatmap"]["values"]
    assert (blank["file"], blank["answer"]) == (f"{tmp_path}/a\x1b[31m, b.png", "refused")
