"""`scripts/predict` through the real path: every image has a result."""

from __future__ import annotations

import csv
import io
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
