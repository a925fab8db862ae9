"""Results as Markdown: medians over rounds, with ratios to the lower bound and to this server."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from scripts.benchmark.measure import number
from scripts.benchmark.targets import LOWER_BOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scripts.benchmark.measure import Grid, Round

    Rounds = Mapping[str, Sequence[Round]]
    """The rounds of each target by its name."""

OURS = "ours"
MIDDLE = 8  # connections, at which latency and processor time are compared
HEADER = ("server", "req/s at {connections}", "of ours", "p50, p99 ms", "CPU ms per request",
          "of the lower bound", "ping s", "prediction s", "PSS MB", "errors")  # fmt: skip


def markdown(rounds: Rounds, titles: Mapping[str, str], grid: Grid) -> str:
    """Lay out one table per image."""
    return "\n\n".join(_table(rounds, titles, grid, image) for image in grid.images)


def _table(rounds: Rounds, titles: Mapping[str, str], grid: Grid, image: str) -> str:
    connections = " / ".join(map(str, grid.connections))
    header = [each.format(connections=connections) for each in HEADER]
    rows = [_row(name, rounds, titles[name], grid, image) for name in rounds if rounds[name]]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    title = f"### {image}; latency, processor time and ratios at {MIDDLE} connections"
    return title + "\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(name: str, rounds: Rounds, title: str, grid: Grid, image: str) -> list[str]:
    def middle(other: str) -> str:
        return image if other == LOWER_BOUND else f"{image}@{MIDDLE}"

    def median(value: Callable[[Round], float | None], of: str = name) -> float | None:
        values = [found for each in rounds.get(of, ()) if (found := value(each)) is not None]
        return statistics.median(values) if values else None

    def at(point: str, quantity: str, of: str = name) -> float | None:
        return median(lambda each: getattr(each.points.get(point), quantity, None), of)

    points = [image] if name == LOWER_BOUND else [f"{image}@{count}" for count in grid.connections]
    per_second, cpu_ms = at(middle(name), "per_second"), at(middle(name), "cpu_ms")
    decode_ms = at(middle(name), "decode_ms")
    errors = sum(
        each.points[point].errors for each in rounds[name] for point in points if point in each.points
    )
    return [
        title,
        " / ".join(number(at(point, "per_second"), 0) for point in points),
        ratio(per_second, at(middle(OURS), "per_second", OURS)),
        f"{number(at(middle(name), 'p50_ms'), 1)}, {number(at(middle(name), 'p99_ms'), 1)}",
        number(cpu_ms, 2) + (f" ({number(decode_ms, 2)} decoding)" if decode_ms is not None else ""),
        ratio(cpu_ms, at(image, "cpu_ms", LOWER_BOUND)),
        number(median(lambda each: each.ping_s), 2),
        number(median(lambda each: each.prediction_s), 2),
        number(median(lambda each: each.pss_mb), 0),
        str(errors),
    ]


def ratio(value: float | None, base: float | None) -> str:
    """Format a ratio; without both numbers it is a dash."""
    return f"{value / base:.2f}" if value is not None and base else "-"
