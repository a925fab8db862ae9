"""Starts and ends a server's processes, and measures what they use together."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil

from infra.paths import ROOT
from scripts.benchmark import CORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@contextmanager
def running(command: Sequence[str], *, variables: Mapping[str, str], log: Path) -> Iterator[psutil.Popen]:
    """Run a process while the block lasts, its output in a log; then kill it and all its descendants."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = psutil.Popen(
            command, cwd=ROOT, env={**os.environ, **variables},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        family = _family(process)  # the parent first, so that it starts no new child for one that was killed
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family)


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process and its descendants, of ended ones too."""
    total = 0.0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])  # user, system, and both of children that have ended
    return total


def pss_mb(process: psutil.Process) -> float:
    """Memory of a process and its descendants in MB; what they share counts once."""
    total = 0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_full_info().pss
    return total / 1e6


class Disturbance:
    """Measures what share of the cores is used by others than this process and its descendants."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy_s(), cpu_seconds(psutil.Process())

    def share(self) -> float:
        """Return the share of all cores, from 0 to 1."""
        others = (_busy_s() - self._busy) - (cpu_seconds(psutil.Process()) - self._own)
        return max(0.0, others / ((time.monotonic() - self._began) * CORES))


def _busy_s() -> float:
    """Seconds that all cores have worked or that the host took; interrupts are the load's own traffic."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.steal)
