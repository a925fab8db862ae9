"""Runs the floor, and counts it as a server is counted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np

from scripts.benchmark import environments, network, processes
from scripts.benchmark.load import Outcome
from scripts.benchmark.places import HOME, ROOT, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmark.images import Image
    from scripts.benchmark.peers.floor import Done
    from scripts.benchmark.rows import Row


class Floor:
    """The processes of `peers/floor.py`, loaded and waiting."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        began = time.perf_counter()
        self._process = process
        self.root = process.pid
        self._line()
        self.ready_s = time.perf_counter() - began

    def run(self, image: Image, *, seconds: float) -> tuple[Outcome, float, float]:
        """Judge an image so long; what came of it, milliseconds of processor an image, and the answer."""
        with tempfile.NamedTemporaryFile(prefix="bench-image-") as file:
            file.write(image.data)
            file.flush()
            assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
            self._process.stdin.write(json.dumps({"image": file.name, "seconds": seconds}) + "\n")
            self._process.stdin.flush()
            done: list[Done] = json.loads(self._line())
        each = np.concatenate([one["each_s"] for one in done]) * 1000
        p50, p99 = np.percentile(each, [50, 99])
        images = sum(one["images"] for one in done)
        outcome = Outcome(requests=images, seconds=seconds, p50_ms=float(p50), p99_ms=float(p99), errors=0)
        return outcome, 1000 * sum(one["cpu_s"] for one in done) / images, done[0]["probability"]

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(
                "the floor's process ended before it answered; .local/bench/logs/floor.log says why."
            )
        return line


@contextlib.contextmanager
def running(row: Row) -> Iterator[Floor]:
    """Keep the floor's processes for as long as the block lasts."""
    values = {
        "python": str(environments.program(row.environment)),
        "network": str(network.FOLDER),
        "workers": str(row.workers),
    }
    command = [part.format_map(values) for part in row.command]
    log = HOME / "logs" / f"{row.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield Floor(process)
        finally:
            processes.end(process)
