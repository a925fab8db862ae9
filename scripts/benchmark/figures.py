"""Medians, ranges and ratios of what was measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.benchmark.results import Measured, Results

Quantity = Literal["per_second", "p50_ms", "p99_ms", "errors", "cpu_ms", "others"]
CONNECTIONS = (1, 8, 32)


@dataclass(frozen=True)
class Spread:
    """A median over rounds, and its range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Of no values: None."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None


def at(row: Measured, point: str, quantity: Quantity) -> Spread | None:
    """A quantity of a row at a point, such as ``jpeg-512@8``; None where it was not measured."""
    rounds = row["rounds"].values()
    return Spread.of(each["points"][point][quantity] for each in rounds if point in each["points"])


def launch(row: Measured, quantity: Literal["ping_s", "prediction_s", "pss_mb"]) -> Spread | None:
    """Seconds from the launch, or memory at the end of a round."""
    found = (each[quantity] for each in row["rounds"].values())
    return Spread.of(value for value in found if value is not None)


def phases(row: Measured, point: str) -> dict[str, float]:
    """Median over rounds of each phase's median, in microseconds."""
    found = [each["phases"][point] for each in row["rounds"].values() if point in each["phases"]]
    names = dict.fromkeys(name for each in found for name in each)
    return {name: statistics.median(each[name] for each in found if name in each) for name in names}


def point_for(row: Measured, point: str) -> str:
    """Name the point of a row that stands for another row's.

    The floor knows no connections, and the size of an image is nothing to a server that gets a tensor.
    """
    image, _, connections = point.partition("@")
    if row["kind"] == "floor":
        return image
    measured = {name.partition("@")[0] for each in row["rounds"].values() for name in each["points"]}
    if row["any_image"] and len(measured) == 1:
        [image] = measured
    return f"{image}@{connections}"


def best(results: Results, kind: str, point: str) -> tuple[str, Spread] | None:
    """Name the quickest row of a kind at a point, with its requests a second."""
    found = [
        (name, spread)
        for name, row in results["rows"].items()
        if row["kind"] == kind and (spread := at(row, point_for(row, point), "per_second"))
    ]
    return max(found, key=lambda each: each[1].median, default=None)
