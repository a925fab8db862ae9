"""What the server holds in memory, over all of its processes, and that it gives it back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from container.limits import MAX_IMAGE_BYTES

from . import pictures, processes
from .serving import serving

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
SIDE = 2040  # of noise, which does not compress


def test_what_many_large_images_take_is_given_back(model_dir: Path) -> None:
    # Given a server that knows what a large image is
    noise = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    large = pictures.png(Image.fromarray(noise))
    assert 0.98 * MAX_IMAGE_BYTES < len(large) <= MAX_IMAGE_BYTES
    with serving(model_dir) as server, ThreadPoolExecutor(32) as crowd:
        for _ in server.workers() * 4:
            server.judge(large)
        workers, before = server.workers(), server.memory()
        # When 32 of them come at once
        answers = list(crowd.map(server.judge, [large] * 32))
        # Then each is answered, by the workers that were there
        assert {answer.status for answer in answers} <= {200, 422, 503}
        assert len({answer.body for answer in answers if answer.status != 503}) == 1
        assert server.workers() == workers
        # And memory is what it was, but for the gaps in a heap
        processes.wait_until(lambda: server.memory() - before < 16 * MIB, "memory is given back")


def test_memory_does_not_grow_with_the_requests(model_dir: Path) -> None:
    image = pictures.jpeg(pictures.scan(512, 512))
    with serving(model_dir) as server, ThreadPoolExecutor(8) as crowd:
        list(crowd.map(server.judge, [image] * 200))
        before = server.memory()
        answers = list(crowd.map(server.judge, [image] * 600))
        assert {answer.status for answer in answers} == {200}
        assert server.memory() - before < 2 * MIB
