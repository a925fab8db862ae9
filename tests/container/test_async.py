"""What comes from a queue: large files, a line for each frame, and a refusal as an answer."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread, encaps, uid

from tests.container import samples
from tests.container.serving import serving
from tests.dicom_files import dicom, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.container.serving import Server

SCAN = np.asarray(samples.scan(640, 640))
FRAMES = np.stack([SCAN, np.full_like(SCAN, 9), *([SCAN] * 60)])  # 25.4 megapixels in all, 50 MB
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


@pytest.fixture(scope="module")
def queued(model_dir: Path) -> Iterator[Server]:
    with serving(model_dir, ASYNC_INFERENCE="true") as server:
        yield server


@pytest.fixture(scope="module")
def file() -> bytes:
    return dicom(FRAMES)


def test_every_frame_has_its_line_and_the_answer_of_the_frame_alone(queued: Server, file: bytes) -> None:
    answer = queued.predict(file, **{ATTRIBUTES: "frame=all"})
    assert answer.status == 200
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["frame"] for line in lines] == list(range(1, len(FRAMES) + 1))
    assert [line["frame"] for line in lines if "label" not in line] == [2]
    assert (lines[1]["status"], "blank" in lines[1]["detail"]) == (422, True)
    alone = queued.predict(file, **{ATTRIBUTES: "frame=3"}).json()
    assert lines[2] == {"frame": 3, **alone}


def test_a_frame_that_cannot_be_decoded_costs_its_line_alone(queued: Server) -> None:
    data = dcmread(BytesIO(dicom(FRAMES[2:5], syntax=uid.JPEG2000Lossless)))
    _, *others = encaps.generate_frames(data.PixelData, number_of_frames=3)
    data.PixelData = encaps.encapsulate([bytes(100), *others])
    file = written(data, uid.JPEG2000Lossless)
    lines = [json.loads(line) for line in queued.predict(file, **{ATTRIBUTES: "frame=all"}).body.splitlines()]
    assert [line.get("status") for line in lines] == [400, None, None]


def test_a_picture_has_one_line(queued: Server) -> None:
    image = samples.png(samples.scan())
    (line,) = queued.predict(image, **{ATTRIBUTES: "frame=all"}).body.splitlines()
    assert json.loads(line) == {"frame": 1, **queued.predict(image).json()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"GIF89a", "no JPEG, PNG or DICOM"),
        (samples.png(samples.scan())[:500], "truncated or broken"),
        (bytes(100 * 1024**2 + 1), "more than 100 MiB"),
    ],
    ids=["format", "broken", "large"],
)
def test_what_is_refused_is_answered(queued: Server, content: bytes, words: str) -> None:
    answer = queued.predict(content, **{ATTRIBUTES: "frame=all"})
    assert answer.status == 200
    assert words in json.loads(answer.body)["detail"]


def test_otherwise_all_frames_count_and_none_is_chosen(server: Server, file: bytes) -> None:
    small = dicom(FRAMES[:2])
    assert "choose one" in str(server.predict(small, **{ATTRIBUTES: "frame=all"}).json()["detail"])
    assert server.predict(file, **{ATTRIBUTES: "frame=3"}).status == 413
