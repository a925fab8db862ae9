"""The Lambda's measurement: rounds over sizes, in each all handlers by turns, then the report."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark import environments, quiet, results
from scripts.benchmark.lambda_ import endpoint, events, table
from scripts.benchmark.lambda_.handlers import ENVIRONMENT, HANDLERS, start
from scripts.benchmark.run import patience_s
from scripts.delivery.console import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from scripts.benchmark.lambda_.endpoint import Count
    from scripts.benchmark.lambda_.table import Block, Figures, Measured

FILE = "lambda.json"
ROUNDS = 5
STARTS = 10
"""Fresh processes of each handler at each size in a round, by turns."""
WARM_UP, REQUESTS = 5, 20
"""Requests to each of them after its first: such that do not count, and such that do."""
TRIES = 2  # of a block that others disturb


def measure(options: argparse.Namespace) -> None:
    """Measure every handler, and write table and figures.

    Raises
    ------
    BenchmarkError
        If a handler fails or answers wrongly.
    """
    environments.ensure(ENVIRONMENT)
    rounds = options.rounds or ROUNDS
    measured: Measured = {
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
        "revision": results.revision(),
        "machine": results.machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "versions": environments.versions(ENVIRONMENT),
        "blocks": [],
    }
    with tempfile.TemporaryDirectory(prefix="bench-lambda-") as scratch, running() as (url, pid):
        bench = Bench(Path(scratch), url, pid, patience_s=patience_s(options))
        for number in range(1, rounds + 1):
            for size in events.SIZES:
                say(f"round {number} of {rounds}: {size}")
                measured["blocks"].append(bench.block(size))
                _write(measured, options.out)
    say(f"Results: {options.out / table.FILE}, {FILE}")


class Bench:
    """The handlers laid out, and the endpoint that they ask.

    Parameters
    ----------
    patience_s
        How long to wait for a quiet machine; 0: neither waited for nor repeated.
    """

    def __init__(self, scratch: Path, url: str, pid: int, *, patience_s: float) -> None:
        self._url, self._pid, self._patience_s = url, pid, patience_s
        self._folders = {handler.name: handler.lay_out(scratch) for handler in HANDLERS}
        self._events = {}
        for name, size in events.SIZES.items():
            self._events[name] = scratch / f"{size}.json"
            self._events[name].write_text(events.text(size), encoding="utf-8")

    def block(self, size: str) -> Block:
        """Measure all handlers at one size; where others use the machine, the quietest try counts."""
        tries: list[Block] = []
        for _ in range(TRIES if self._patience_s else 1):
            quiet.wait(self._pid, patience_s=self._patience_s)
            tries.append(self._once(size))
            if tries[-1]["others"] <= quiet.LOUD:
                break
        best = min(tries, key=lambda each: each["others"])
        say(table.shown(best))
        return best

    def _once(self, size: str) -> Block:
        before = quiet.now(self._pid)
        block: Block = {"size": size, "others": 0.0, "handlers": {}}
        for handler in HANDLERS:
            block["handlers"][handler.name] = {"starts": [], "warm": [], "peak_mb": 0.0, "connections": 0}
        for _ in range(STARTS):
            for name, folder in self._folders.items():  # by turns, so that a slow moment meets all
                self._add(block["handlers"][name], folder, self._events[size])
        block["others"] = quiet.disturbance(before, quiet.now(self._pid))
        return block

    def _add(self, figures: Figures, folder: Path, event: Path) -> None:
        """Start a handler once more, and add what came of it."""
        opened = count(self._url)["connections"]
        said = start(folder, event, requests=WARM_UP + REQUESTS, endpoint_url=self._url)
        opened = count(self._url)["connections"] - opened
        figures["starts"].append(
            {"import_ms": said["import_ms"], "import_cpu_ms": said["import_cpu_ms"], "first": said["first"]}
        )
        figures["warm"] += said["warm"][WARM_UP:]
        figures["peak_mb"] = max(figures["peak_mb"], said["peak_mb"])
        figures["connections"] = max(figures["connections"], opened)


@contextlib.contextmanager
def running() -> Iterator[tuple[str, int]]:
    """Run the endpoint; its address and its process."""
    with subprocess.Popen([sys.executable, endpoint.__file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.terminate()


def count(url: str) -> Count:
    """Ask the endpoint what came in so far."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - it is ours, on 127.0.0.1
        counted: Count = json.load(answer)
    return counted


def _write(measured: Measured, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(measured, indent=1) + "\n")
    (folder / table.FILE).write_text(table.markdown(measured))
