"""One row in one round: launched, proved right, then timed point by point."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benchmark import containers, floor, load, network, phases, processes, quiet, servers
from scripts.benchmark.places import BenchmarkError
from scripts.benchmark.wire import answer, message
from scripts.delivery.console import say

if TYPE_CHECKING:
    from scripts.benchmark.images import Image
    from scripts.benchmark.results import Point, Round
    from scripts.benchmark.rows import Row
    from scripts.benchmark.servers import Server
    from scripts.benchmark.wire import Message

TOLERANCE = 1e-3
"""How far a probability may be from Keras's before a row counts as wrong and is not timed."""
WARM_UP_S, WARM_UP_CONNECTIONS = 2.0, 8
TRIES = 3  # of a point that others disturb
SETTLE_S = 2.0  # from the last request to the look at memory: images in flight are not what a server holds
MEGABYTE = 1e6

Timed = Callable[[], tuple[load.Outcome, float]]
"""Runs a point once: what came of it, and milliseconds of processor a request."""


@dataclass(frozen=True)
class Grid:
    """What each row is timed with.

    Attributes
    ----------
    patience_s
        How long to wait for a quiet machine before each point; 0: neither waited for nor repeated.
    """

    images: tuple[str, ...]
    connections: tuple[int, ...]
    seconds: float
    patience_s: float = quiet.PATIENCE_S

    def points(self, row: Row) -> list[tuple[str, int]]:
        """Image and connections of every point of a row; the floor has no connections."""
        connections = (0,) if row.kind == "floor" else self.connections
        return [(name, count) for name in self.images if name in row.images for count in connections]


def name_of(image: str, connections: int) -> str:
    """Name a point, such as ``jpeg-512@8``; the floor's are named by the image alone."""
    return f"{image}@{connections}" if connections else image


def measure(row: Row, grid: Grid, drawn: dict[str, Image]) -> Round:
    """Run one row through every point once.

    Raises
    ------
    BenchmarkError
        If it does not start, answers wrongly, or its points cannot be timed.
    """
    return _measure_floor(row, grid, drawn) if row.kind == "floor" else _measure_server(row, grid, drawn)


def _measure_server(row: Row, grid: Grid, drawn: dict[str, Image]) -> Round:
    points = grid.points(row)
    first = drawn[points[0][0]]
    start = containers.serving if row.name == containers.NAME else servers.serving
    quiet.wait(patience_s=grid.patience_s)
    with start(row, first) as server:
        for name in dict.fromkeys(image for image, _ in points):
            _check(row.name, name, answer(row.wire, server.ask(drawn[name])))
        load.run(server.url, message(row.wire, first), connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_S)
        timed, spent = {}, {}
        log = phases.Log(server)
        for image, connections in points:
            name = name_of(image, connections)
            once = _posting(server, message(row.wire, drawn[image]), connections, grid.seconds)
            log.skip()
            timed[name] = _undisturbed(f"{row.name} {name}", once, server.root, grid)
            if row.kind == "ours":
                spent[name] = log.medians()
        time.sleep(SETTLE_S)
        return {
            "ping_s": server.ping_s,
            "prediction_s": server.prediction_s,
            "pss_mb": _memory(server.root),
            "points": timed,
            "phases": {name: each for name, each in spent.items() if each},
        }


def _posting(server: Server, sent: Message, connections: int, seconds: float) -> Timed:
    """Make what times one point of a server."""

    def once() -> tuple[load.Outcome, float]:
        before = processes.cpu_seconds(server.root)
        outcome = load.run(server.url, sent, connections=connections, seconds=seconds)
        used = processes.cpu_seconds(server.root) - before
        return outcome, 1000 * used / max(1, outcome.requests)

    return once


def _measure_floor(row: Row, grid: Grid, drawn: dict[str, Image]) -> Round:
    quiet.wait(patience_s=grid.patience_s)
    with floor.running(row) as running:
        timed = {}
        for name, _ in grid.points(row):
            _check(row.name, name, running.run(drawn[name], seconds=WARM_UP_S / 4)[2])
            once = _judging(running, drawn[name], grid.seconds)
            timed[name] = _undisturbed(f"{row.name} {name}", once, running.root, grid)
        return {
            "ping_s": None,
            "prediction_s": running.ready_s,
            "pss_mb": _memory(running.root),
            "points": timed,
            "phases": {},
        }


def _judging(running: floor.Floor, image: Image, seconds: float) -> Timed:
    """Make what times one point of the floor."""
    return lambda: running.run(image, seconds=seconds)[:2]


def _undisturbed(title: str, once: Timed, root: int, grid: Grid) -> Point:
    """Time a point, again if others used the machine meanwhile; the least disturbed of the tries counts."""
    tries = []
    for _ in range(TRIES if grid.patience_s else 1):
        quiet.wait(root, patience_s=grid.patience_s)
        before = quiet.now(root)
        outcome, cpu_ms = once()
        tries.append(_point(outcome, cpu_ms, others=quiet.disturbance(before, quiet.now(root))))
        if tries[-1]["others"] <= quiet.LOUD:
            break
    best = min(tries, key=lambda each: each["others"])
    note = f"  (disturbed: others used {best['others']:.0%})" if best["others"] > quiet.LOUD else ""
    say(
        f"  {title:32}{best['per_second']:8.1f} /s   p50 {best['p50_ms']:7.1f}   p99 {best['p99_ms']:7.1f} ms"
        f"   {best['cpu_ms']:6.2f} ms CPU   {best['errors']} errors{note}"
    )
    return best


def _point(outcome: load.Outcome, cpu_ms: float, *, others: float) -> Point:
    return {
        "per_second": outcome.per_second,
        "p50_ms": outcome.p50_ms,
        "p99_ms": outcome.p99_ms,
        "errors": outcome.errors,
        "requests": outcome.requests,
        "cpu_ms": cpu_ms,
        "others": others,
    }


def _check(row: str, image: str, said: float) -> None:
    expected = network.expected()[image]
    if not abs(said - expected) <= TOLERANCE:
        raise BenchmarkError(f"{row} says {said:.6f} to {image}, Keras {expected:.6f}: not the same network")


def _memory(root: int) -> float | None:
    with contextlib.suppress(
        PermissionError
    ):  # another user's processes, as Docker's are to others than root
        return processes.pss_bytes(root) / MEGABYTE
    return None
