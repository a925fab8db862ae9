"""Measure the server beside its peers and its lower bound: one model, the same images, the same client.

Everything is made under .local/bench/ and reused: the model (trained on phantoms), an environment for each
peer, and logs. Rounds alternate between the targets, so that drift of the machine affects all
alike. Needs wrk.
"""

from __future__ import annotations

import platform
import signal
from typing import TYPE_CHECKING

from scripts.benchmark import CORES, load, measure, monitor, network, table, targets
from scripts.benchmark.measure import Grid, Round
from scripts.benchmark.targets import LOWER_BOUND, TARGETS, Target
from scripts.cli import cli_errors, command_parser
from scripts.console import DeliveryError, echo

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

CONNECTIONS = (1, 8, 32)
SECONDS, ROUNDS = 5.0, 3
QUICK_SECONDS, QUICK_ROUNDS = 2.0, 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser().parse_args(arguments)
    # SIGTERM ends it as Ctrl-C does: no server may stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with cli_errors():
        run(options)


def parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    made = command_parser("bench", __doc__)
    made.add_argument(
        "--quick", action="store_true",
        help=f"{QUICK_ROUNDS} round of {QUICK_SECONDS:.0f} s a point: to try it out, not to quote",
    )  # fmt: skip
    made.add_argument(
        "--forms", action="store_true", help="this server alone, by JPEG, PNG and forms of DICOM"
    )
    made.add_argument("--baseline", metavar="COMMIT", help="measure the server as of another commit too")
    made.add_argument(
        "--monitor", type=int, nargs="?", const=monitor.RECORDS, metavar="RECORDS",
        help=f"scripts/monitor alone, on synthetic answers (default: {monitor.RECORDS:,})",
    )  # fmt: skip
    made.add_argument("--rounds", type=int, help=f"rounds over all targets (default: {ROUNDS})")
    made.add_argument("--seconds", type=float, help=f"of each point (default: {SECONDS:.0f})")
    return made


def run(options: argparse.Namespace) -> None:
    """Measure every target, and print the tables; or measure `scripts/monitor` alone."""
    if options.monitor is not None:
        print(f"{CORES} cores, Python {platform.python_version()}: {monitor.measure(options.monitor)}")
        return
    load.require_wrk()
    network.ensure()
    chosen: list[Target | None] = [None, *(TARGETS[:1] if options.forms else TARGETS)]
    if options.baseline:
        chosen.insert(2, targets.baseline(options.baseline))
    grid = Grid(
        images=network.forms() if options.forms else network.pictures(),
        connections=CONNECTIONS,
        seconds=options.seconds or (QUICK_SECONDS if options.quick else SECONDS),
    )
    rounds = measure_all(chosen, grid, count=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS))
    if not any(rounds.values()):
        raise DeliveryError("no target could be measured")
    titles = {target.name: target.title for target in chosen if target} | {
        LOWER_BOUND: "decode and inference alone, no server: the lower bound"
    }
    print(f"{CORES} cores, {platform.platform()}, Python {platform.python_version()}\n")
    print(table.markdown(rounds, titles, grid))


def measure_all(chosen: Sequence[Target | None], grid: Grid, *, count: int) -> dict[str, list[Round]]:
    """Measure every target once a round, in an order that is reversed from round to round.

    A target that fails is reported, and left out of the rounds that follow. None is the lower bound.
    """
    names = [target.name if target else LOWER_BOUND for target in chosen]
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    failed = set()
    for number in range(count):
        echo(f"▸ round {number + 1} of {count}")
        order = list(zip(names, chosen, strict=True))
        for name, target in order if number % 2 == 0 else reversed(order):
            if name in failed:
                continue
            try:
                rounds[name].append(measure.server(target, grid) if target else measure.lower_bound(grid))
            except DeliveryError as error:
                echo(f"✗ {name}: {error}")
                failed.add(name)
    return rounds
