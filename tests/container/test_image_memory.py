"""Drills in containers with little memory: what many large images cost, and one that is too large."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from container.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from container.predictor import Predictor

from . import pictures
from .containers import MEMORY, Container, inspect, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .serving import Answer

AT_ONCE = 32
LITTLE = 128 * 1024**2  # an image with the most pixels takes 100 MB in its file's own mode alone
WORKERS = "--env=SAGEMAKER_MODEL_SERVER_WORKERS=2"
LIMIT_S = 60
MIB = 1024**2
# What the front's heap may keep in its gaps after 128 MiB of bodies at once; a leak would keep far more.
GAPS = 32 * MIB
# Memory that the container's processes hold, without what the kernel caches of files.
HELD = """
from pathlib import Path
one, two = Path("/sys/fs/cgroup/memory.stat"), Path("/sys/fs/cgroup/memory/memory.stat")
name, file = ("anon", one) if one.exists() else ("rss", two)
print(dict(line.split() for line in file.read_text().splitlines())[name])
"""


@pytest.fixture
def container(image: str, model_dir: Path) -> Iterator[Container]:
    with served(image, model_dir, "--env=MODEL_VERSION=7", WORKERS) as running:
        yield running


@pytest.fixture
def cramped(image: str, model_dir: Path) -> Iterator[Container]:
    """One with enough memory for what is usual, and too little for the largest images."""
    limits = (f"--memory={LITTLE}", f"--memory-swap={LITTLE}")
    with served(image, model_dir, "--env=MODEL_VERSION=7", WORKERS, *limits) as running:
        yield running


@pytest.fixture(scope="module")
def heavy() -> list[bytes]:
    """Images of nearly 4 MiB, of which no two look alike."""
    width, height = 2120, 2240
    random = np.random.default_rng(7)
    scan = np.asarray(pictures.scan(width, height), dtype=np.int16)
    images = []
    for strength in (100, 110, 120, 127):
        grain = random.integers(-strength, strength + 1, scan.shape, dtype=np.int16)
        images.append(pictures.png(Image.fromarray(np.clip(scan + grain, 0, 255).astype(np.uint8))))
    return images


@pytest.fixture(scope="module")
def largest() -> bytes:
    """A small file with as many pixels as may be, of the mode that takes the most memory."""
    side = round(MAX_IMAGE_PIXELS**0.5)
    return pictures.png(pictures.scan(side, side).convert("RGBA"), compress_level=1)


def ask_at_once(container: Container, images: Sequence[bytes]) -> list[Answer]:
    with ThreadPoolExecutor(len(images)) as clients:
        return list(clients.map(container.judge, images))


def held(container: Container) -> int:
    return int(container.python(HELD))


def eventually(holds: Callable[[], bool]) -> None:
    """Return once a condition holds; fail if it does not within seconds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_whole(container: Container) -> bool:
    ping = container.ask("GET", "/ping")
    workers = json.loads(ping.body).get("workers", {})
    return ping.status == 200 and workers["ready"] == workers["wanted"]


def test_many_large_images_at_once_are_all_judged_within_512_mib(
    container: Container, heavy: list[bytes], model_dir: Path
) -> None:
    # Given every worker at its level, with one large image behind it
    assert all(3.5 * MIB < len(image) <= MAX_IMAGE_BYTES for image in heavy), list(map(len, heavy))
    predictor = Predictor.load(model_dir, version="7")
    expected = [json.loads(json.dumps(predictor.predict(image))) for image in heavy] * (AT_ONCE // len(heavy))
    ask_at_once(container, heavy)
    level = held(container)
    # When 32 of them come at once, four times
    began = time.monotonic()
    answers = [ask_at_once(container, heavy * (AT_ONCE // len(heavy))) for _ in range(4)]
    # Then each is answered, as it would be alone
    assert time.monotonic() - began < LIMIT_S
    for wave in answers:
        assert [answer.status for answer in wave] == [200] * AT_ONCE
        assert [answer.json() for answer in wave] == expected
    # And no worker was lost, and the memory is back at its level
    assert "worker ended" not in [line["event"] for line in container.events()]
    assert is_whole(container)
    eventually(lambda: held(container) <= level + GAPS)
    assert level < MEMORY / 4


def test_an_image_too_large_for_the_memory_costs_its_worker_and_no_other_answer(
    cramped: Container, largest: bytes, model_dir: Path
) -> None:
    # Given images of which each takes more memory than there is, among small ones
    small = pictures.png(pictures.scan())
    images = [largest if number % 8 == 0 else small for number in range(AT_ONCE)]
    expected = json.loads(json.dumps(Predictor.load(model_dir, version="7").predict(small)))
    started = inspect(cramped.name)["State"]["StartedAt"]
    # When they come at once
    began = time.monotonic()
    answers = ask_at_once(cramped, images)
    # Then the kernel ended a worker for each of the large, whose sender is told so, and the small are judged
    assert time.monotonic() - began < LIMIT_S
    for image, answer in zip(images, answers, strict=True):
        if image is small:
            assert answer.json() == expected
        else:
            assert answer.status == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert "ended over it" in str(answer.json()["detail"])
    ended = [line for line in cramped.events() if line["event"] == "worker ended"]
    assert [line["code"] for line in ended] == [-9] * images.count(largest)
    # And the server itself lived on, and is whole again
    eventually(lambda: is_whole(cramped))
    assert inspect(cramped.name)["State"]["StartedAt"] == started
    assert cramped.judge(small).json() == expected
