"""Measure the server beside its peers and its lower bound: one model, the same images, the same client.

Everything is made under .local/bench/ and reused: the model (trained on phantoms), an environment for each
peer, and logs. Rounds alternate between the targets, so that drift of the machine affects all
alike. Needs wrk.
"""

from __future__ import annotations

import platform
import shutil
import signal
import statistics
from typing import TYPE_CHECKING

from scripts.benchmark import CORES, measure, monitor, network
from scripts.benchmark.measure import Grid, Round, number
from scripts.benchmark.targets import LOWER_BOUND, TARGETS, Target
from scripts.cli import cli_errors, command_parser
from scripts.console import DeliveryError, echo

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    Rounds = Mapping[str, Sequence[Round]]
    """The rounds of each target by its name."""

CONNECTIONS = (1, 8, 32)
OURS = "ours"
MIDDLE = 8  # connections, at which latency and processor time are compared
HEADER = ("server", "req/s at {connections}", "of ours", "p50, p99 ms", "CPU ms per request",
          "of the lower bound", "ping s", "prediction s", "PSS MB", "errors")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_parser("bench", __doc__)
    parser.add_argument(
        "--forms", action="store_true", help="this server alone, by JPEG, PNG and forms of DICOM"
    )
    parser.add_argument(
        "--monitor", type=int, nargs="?", const=monitor.RECORDS, metavar="RECORDS",
        help=f"scripts/monitor alone, on synthetic answers (default: {monitor.RECORDS:,})",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds over all targets (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each point (default: %(default)g)")
    options = parser.parse_args(arguments)
    # SIGTERM ends it as Ctrl-C does: no server may stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with cli_errors():
        run(options)


def run(options: argparse.Namespace) -> None:
    """Measure every target, and print the tables; or measure `scripts/monitor` alone."""
    if options.monitor is not None:
        print(f"{CORES} cores, Python {platform.python_version()}: {monitor.measure(options.monitor)}")
        return
    if shutil.which("wrk") is None:
        raise DeliveryError("wrk, the load generator, is not on PATH: apt-get install wrk")
    network.ensure()
    chosen: list[Target | None] = [None, *(TARGETS[:1] if options.forms else TARGETS)]
    images = network.forms() if options.forms else network.pictures()
    grid = Grid(images, CONNECTIONS, options.seconds)
    rounds = measure_all(chosen, grid, count=options.rounds)
    if not any(rounds.values()):
        raise DeliveryError("no target could be measured")
    titles = {target.name: target.title for target in chosen if target} | {
        LOWER_BOUND: "decode and inference alone, no server: the lower bound"
    }
    print(f"{CORES} cores, {platform.platform()}, Python {platform.python_version()}\n")
    print(markdown(rounds, titles, grid))


def measure_all(chosen: Sequence[Target | None], grid: Grid, *, count: int) -> dict[str, list[Round]]:
    """Measure every target once a round, in an order that is reversed from round to round.

    A target that fails is reported, and left out of the rounds that follow. None is the lower bound.
    """
    names = [target.name if target else LOWER_BOUND for target in chosen]
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    failed = set()
    for index in range(count):
        echo(f"▸ round {index + 1} of {count}")
        order = list(zip(names, chosen, strict=True))
        for name, target in order if index % 2 == 0 else reversed(order):
            if name in failed:
                continue
            try:
                rounds[name].append(measure.server(target, grid) if target else measure.lower_bound(grid))
            except DeliveryError as error:
                echo(f"✗ {name}: {error}")
                failed.add(name)
    return rounds


def markdown(rounds: Rounds, titles: Mapping[str, str], grid: Grid) -> str:
    """Lay out one table per image: medians over rounds, with ratios to the lower bound and to this server."""
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
