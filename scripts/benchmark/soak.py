"""A long steady load on our server, to see whether it answers all, keeps its pace, and keeps its memory."""

from __future__ import annotations

import asyncio
import shlex
import statistics
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from scripts.benchmark import images, load, network, openloop, processes, quiet, servers
from scripts.benchmark.measure import MEGABYTE
from scripts.benchmark.results import Store
from scripts.benchmark.rows import ROWS
from scripts.benchmark.run import patience_s, report
from scripts.benchmark.wire import message
from scripts.delivery.console import say, step

if TYPE_CHECKING:
    import argparse

    from scripts.benchmark.results import Part, Soak

IMAGE = "jpeg-512"
SECONDS, PARTS = 600.0, 10
SHARE = 0.8  # of the measured maximum
MAXIMUM_S, MAXIMUM_CONNECTIONS = 10.0, (8, 32)
CONNECTIONS = 32  # that the steady client holds open
SAMPLES = 12  # looks at the memory in each part


@dataclass
class _Window:
    """One part of the soak while it runs."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    pss: list[int] = field(default_factory=list)

    def part(self) -> Part:
        p50, p99 = np.percentile(self.latencies_s, [50, 99]) * 1000 if self.latencies_s else (None, None)
        return {
            "requests": len(self.latencies_s),
            "errors": self.errors,
            "p50_ms": None if p50 is None else float(p50),
            "p99_ms": None if p99 is None else float(p99),
            "pss_mb": statistics.mean(self.pss) / MEGABYTE if self.pss else None,
        }


def soak(options: argparse.Namespace) -> None:
    """Find our server's maximum, keep it at `SHARE` of that, and add what came of it to the results."""
    load.require_wrk()
    network.ensure()
    row = ROWS["ours"]
    servers.prepare(row)
    image = images.all_images()[IMAGE]
    seconds = options.seconds or SECONDS
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    store = Store(options.out, network=network.fingerprint(), command=command)
    quiet.wait(patience_s=patience_s(options))
    with servers.serving(row, image) as server:
        with step("finding the maximum"):
            most = max(
                load.run(
                    server.url, message(row.wire, image), connections=count, seconds=MAXIMUM_S
                ).per_second
                for count in MAXIMUM_CONNECTIONS
            )
        say(f"  {most:.0f} requests/s at the most; {SHARE:.0%} of that for {seconds:.0f} s")
        before = quiet.now(server.root)
        windows = asyncio.run(_steady(server, image, rate=SHARE * most, seconds=seconds))
        others = quiet.disturbance(before, quiet.now(server.root))
    done: Soak = {
        "image": IMAGE,
        "per_second": SHARE * most,
        "of_per_second": most,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "others": others,
        "part_s": seconds / PARTS,
        "parts": [window.part() for window in windows],
    }
    store.results["soak"] = done
    store.write()
    report(store)
    _verdict(done)


async def _steady(
    server: servers.Server, image: images.Image, *, rate: float, seconds: float
) -> list[_Window]:
    """Send at a constant rate, and look at the server's memory now and then."""
    windows = [_Window() for _ in range(PARTS)]
    began = time.perf_counter()

    def window(now: float) -> _Window:
        return windows[min(PARTS - 1, int((now - began) / seconds * PARTS))]

    def answered(due: float, took_s: float, good: bool) -> None:
        window(due).latencies_s.append(took_s)
        window(due).errors += not good

    async def watch() -> None:
        while True:
            memory = await asyncio.to_thread(processes.pss_bytes, server.root)
            current = window(time.perf_counter())
            current.pss.append(memory)
            await asyncio.sleep(seconds / PARTS / SAMPLES)

    async def tell() -> None:
        for number, each in enumerate(windows, start=1):
            await asyncio.sleep(began + number * seconds / PARTS - time.perf_counter())
            say(f"  part {number} of {PARTS}: {_shown(each.part())}")

    helpers = [asyncio.create_task(watch()), asyncio.create_task(tell())]
    try:
        await openloop.run(
            server.host, server.port, server.row.path, message(server.row.wire, image),
            rate=rate, seconds=seconds, connections=CONNECTIONS, answered=answered,
        )  # fmt: skip
    finally:
        for helper in helpers:
            helper.cancel()
    return windows


def _verdict(done: Soak) -> None:
    first, last = done["parts"][0], done["parts"][-1]
    if done["others"] > quiet.LOUD:
        say(f"Others used {done['others']:.0%} of the cores meanwhile: not to be quoted.")
    say(f"Errors: {sum(part['errors'] for part in done['parts'])}\nFirst part: {_shown(first)}\n"
        f"Last part:  {_shown(last)}")  # fmt: skip


def _shown(part: Part) -> str:
    p50, p99, memory = (
        "-" if value is None else f"{value:.1f}" for value in (part["p50_ms"], part["p99_ms"], part["pss_mb"])
    )
    return f"{part['requests']} answered, {part['errors']} errors, p50 {p50}, p99 {p99} ms, {memory} MB"
