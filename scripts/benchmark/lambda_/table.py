"""The Lambda's figures and their Markdown file."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from scripts.benchmark.figures import Spread
from scripts.benchmark.lambda_.events import SIZES
from scripts.benchmark.lambda_.handlers import FLOOR, HANDLERS, OURS
from scripts.benchmark.table import spread, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scripts.benchmark.lambda_.probe import Request
    from scripts.benchmark.results import Machine

    Own = Callable[[Iterable[Request]], list[float]]

FILE = "lambda.md"
LARGEST = "4 MiB"
PACKAGES = ("boto3", "botocore", "aws-lambda-powertools")


class Start(TypedDict):
    """A fresh process: its import of the handler, and its first request."""

    import_ms: float
    import_cpu_ms: float
    first: Request


class Figures(TypedDict):
    """A handler at one size in one round; memory and connections are the most of any of its processes."""

    starts: list[Start]
    warm: list[Request]
    peak_mb: float
    connections: int


class Block(TypedDict):
    """All handlers at one size in one round; `others` is the share of the cores that others used."""

    size: str
    others: float
    handlers: dict[str, Figures]


class Measured(TypedDict):
    """Everything of one run."""

    command: str
    revision: str
    machine: Machine
    date: str
    versions: dict[str, str]
    blocks: list[Block]


def own(requests: Iterable[Request]) -> list[float]:
    """Milliseconds of each request that are the handler's: all but the call of the endpoint."""
    return [each["all_ms"] - each["call_ms"] for each in requests]


def own_cpu(requests: Iterable[Request]) -> list[float]:
    """Milliseconds of processor that are the handler's, which a busy machine stretches least."""
    return [each["all_cpu_ms"] - each["call_cpu_ms"] for each in requests]


def warm(measured: Measured, name: str, size: str, percent: int, of: Own = own) -> Spread | None:
    """A percentile of a handler's own time when warm: the median over rounds, and their range."""
    rounds = _at(measured, name, size)
    return Spread.of(float(np.percentile(of(each["warm"]), percent)) for each in rounds)


def starts(measured: Measured, name: str, size: str | None = None) -> list[Start]:
    """All fresh processes of a handler, in the order of their turns."""
    return [start for each in _at(measured, name, size) for start in each["starts"]]


def ratio_of_imports(measured: Measured, name: str) -> Spread | None:
    """A handler's import as a multiple of the floor's: the median over pairs that took turns, and quartiles.

    Of processor time, which a busy machine stretches least.
    """
    pairs = zip(starts(measured, name), starts(measured, FLOOR.name), strict=True)
    ratios = [one["import_cpu_ms"] / floor["import_cpu_ms"] for one, floor in pairs]
    return Spread(*(float(np.percentile(ratios, each)) for each in (50, 25, 75))) if ratios else None


def markdown(measured: Measured) -> str:
    """Write both tables."""
    return "\n\n".join([_head(measured), _warm(measured), _cold(measured)]) + "\n"


def shown(block: Block) -> str:
    """Tell a block in one line."""
    told = []
    for name, figures in block["handlers"].items():
        p50, p99 = np.percentile(own(figures["warm"]), [50, 99])
        imported = statistics.median(start["import_ms"] for start in figures["starts"])
        told.append(f"{name} {p50:.2f}, {p99:.2f} ms, import {imported:.0f} ms")
    return f"  {'; '.join(told)} (others used {block['others']:.0%})"


def _at(measured: Measured, name: str, size: str | None) -> list[Figures]:
    return [each["handlers"][name] for each in measured["blocks"] if size in {None, each["size"]}]


def _head(measured: Measured) -> str:
    machine, versions = measured["machine"], measured["versions"]
    others = Spread.of(100 * each["others"] for each in measured["blocks"])
    packages = ", ".join(f"{name} {versions[name]}" for name in PACKAGES)
    return (
        f"# The gateway's Lambda\n\n`{measured['command']}` at {measured['revision']}, {measured['date']}: "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}, {packages}. Others used {spread(others)} % of the cores.\n\n"
        "The endpoint is a process on 127.0.0.1 that answers at once. What a handler adds is the time of a "
        "request less that of the client's call within it. Parsing the event's JSON, which Lambda's runtime "
        "does, is not in it. Powertools is compiled beforehand, the handlers' own files never are."
    )


def _warm(measured: Measured) -> str:
    head = ["warm", *(f"{size}, {kind}: p50, p99" for kind in ("ms", "CPU ms") for size in SIZES),
            f"CPU of the floor's, {LARGEST}", f"CPU ms with the call, {LARGEST}",
            f"peak memory MB, {LARGEST}", "connections of a process"]  # fmt: skip
    cells = []
    for handler in HANDLERS:
        name, rounds = handler.name, _at(measured, handler.name, LARGEST)
        floor = warm(measured, FLOOR.name, LARGEST, 50, own_cpu)
        cells.append([
            handler.title,
            *(
                ", ".join(spread(warm(measured, name, size, percent, of), 2) for percent in (50, 99))
                for of in (own, own_cpu)
                for size in SIZES
            ),
            _ratio(warm(measured, name, LARGEST, 50, own_cpu), floor),
            spread(Spread.of(statistics.median(_whole_cpu(one["warm"])) for one in rounds), 1),
            spread(Spread.of(one["peak_mb"] for one in rounds)),
            str(max(each["connections"] for each in _at(measured, name, None))),
        ])  # fmt: skip
    requests = len(_at(measured, OURS.name, None)[0]["warm"])
    return (
        "## What it adds to a warm request: medians over rounds, their range in brackets; "
        f"{requests} requests a size and round\n\n{table(head, cells)}"
    )


def _whole_cpu(requests: Iterable[Request]) -> list[float]:
    return [each["all_cpu_ms"] for each in requests]


def _cold(measured: Measured) -> str:
    head = ["cold", "import, ms: p50, p99", "CPU ms", "CPU of the floor's (quartiles)",
            *(f"first request of {size}, ms: p50, p99" for size in SIZES)]  # fmt: skip
    cells = []
    for handler in HANDLERS:
        all_starts = starts(measured, handler.name)
        firsts = (own(start["first"] for start in starts(measured, handler.name, size)) for size in SIZES)
        cells.append([
            handler.title, _p50_p99([start["import_ms"] for start in all_starts], 0),
            spread(Spread.of([statistics.median(start["import_cpu_ms"] for start in all_starts)])),
            spread(ratio_of_imports(measured, handler.name), 2), *(_p50_p99(each, 2) for each in firsts),
        ])  # fmt: skip
    number = len(starts(measured, OURS.name, LARGEST))
    return (
        f"## What a cold start costs: {number} fresh processes a size\n\n{table(head, cells)}\n\n"
        "Python's own start and, on AWS, that of the sandbox are not in it; a first request comes on top "
        "of the import."
    )


def _p50_p99(values: list[float], digits: int) -> str:
    if not values:
        return spread(None)
    return ", ".join(f"{each:.{digits}f}" for each in np.percentile(values, [50, 99]))


def _ratio(one: Spread | None, other: Spread | None) -> str:
    return f"{one.median / other.median:.2f}x" if one and other else spread(None)
