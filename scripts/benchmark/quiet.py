"""Whether the machine was left alone while something was timed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.places import CORES
from scripts.benchmark.processes import TICKS, cpu_seconds

LOUD = 0.05  # share of all cores that others may use before a measurement counts as disturbed
LOOK_S = 0.5
PATIENCE_S = 120  # for a machine to calm down


@dataclass(frozen=True)
class Instant:
    """Processor time used until a moment, in seconds: by everyone, and by what the benchmark itself runs."""

    at: float
    busy: float
    own: float


def now(*roots: int) -> Instant:
    """Look at the clocks; `roots` are the measured processes that are not the benchmark's own children."""
    return Instant(time.monotonic(), read_busy(Path("/proc/stat").read_text()), _own(roots))


def read_busy(stat: str) -> float:
    """Seconds in which any core worked for a process or was taken away by the host, of `/proc/stat`.

    Interrupts are left out: they are mostly the measured network traffic's own.
    """
    user, nice, system, _idle, _wait, _irq, _softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    return (user + nice + system + steal) / TICKS


def disturbance(before: Instant, after: Instant) -> float:
    """Share of all cores, from 0 to 1, that others than the benchmark used between two instants."""
    foreign = (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, foreign / ((after.at - before.at) * CORES))


def wait(*roots: int, patience_s: float = PATIENCE_S) -> float:
    """Wait until others leave the machine alone, but not for ever; their share of it at last."""
    deadline = time.monotonic() + patience_s
    while True:
        before = now(*roots)
        time.sleep(LOOK_S)
        share = disturbance(before, now(*roots))
        if share <= LOUD or time.monotonic() > deadline:
            return share


def _own(roots: tuple[int, ...]) -> float:
    times = os.times()
    itself = times.user + times.system + times.children_user + times.children_system
    return itself + sum(cpu_seconds(root) for root in roots)
