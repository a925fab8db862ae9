"""Thousands of mutated DICOM files: the contract answers each, no worker ends, and memory stays flat."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.container import samples
from tests.container.serving import serving
from tests.dicom_files import SYNTAXES, dicom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 15
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
CLIENTS = 4
GROWTH = 24 * 2**20  # bytes that the heaps may keep
EXPECTED = {200, 400, 413, 415, 422}


def mutated() -> Iterator[bytes]:
    """Change headers, lengths and pixel data of files in every transfer syntax, without end."""
    rng = random.Random(SEED)
    scan = samples.scan(64, 48)
    templates = [dicom(scan, syntax=syntax, bits=8) for syntax in SYNTAXES]
    templates += [dicom(np.stack([np.asarray(scan)] * 2), syntax=syntax) for syntax in SYNTAXES[:5]]
    while True:
        data = bytearray(rng.choice(templates))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(132, len(data))
            match rng.randrange(5):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    number, width = rng.choice(NUMBERS), rng.choice((2, 4))
                    data[at : at + width] = number.to_bytes(4, "little")[:width]
                case 2:
                    del data[at : at + rng.choice((1, 2, 8, 100))]
                case 3:
                    data[at:at] = data[at : at + rng.choice((2, 8, 100))]
                case 4:
                    del data[at:]
            if len(data) <= 133:
                break
        yield bytes(data)


@pytest.mark.slow
def test_mutated_files_are_answered_by_the_contract(model_dir: Path, request: pytest.FixtureRequest) -> None:
    count = int(request.config.getoption("--dicom-files"))
    files = mutated()
    with serving(model_dir) as server, ThreadPoolExecutor(CLIENTS) as clients:
        workers = server.workers()

        def send(some: int) -> Counter[int]:
            return Counter(answer.status for answer in clients.map(server.predict, islice(files, some)))

        send(count // 4)
        before = server.memory()
        statuses = send(count - count // 4)
        assert set(statuses) <= EXPECTED
        assert len(statuses) >= 4, statuses
        assert server.workers() == workers
        after = server.memory()
        print(
            f"{count} files: {dict(statuses)}; {before >> 20} MB after a quarter, {after >> 20} MB at the end"
        )
        assert after - before < GROWTH
