"""The benchmark itself: rounds over rows, then engines, then the report."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from scripts.benchmark import (
    containers,
    engines,
    environments,
    images,
    load,
    network,
    plot,
    quiet,
    servers,
    table,
)
from scripts.benchmark.figures import CONNECTIONS
from scripts.benchmark.measure import MEGABYTE, Grid, measure
from scripts.benchmark.places import BenchmarkError
from scripts.benchmark.results import Store
from scripts.benchmark.rows import QUICK, ROWS, Row
from scripts.delivery.console import say

if TYPE_CHECKING:
    import argparse

QUICK_IMAGES = ("jpeg-225", "jpeg-512")
QUICK_HELP = (
    "the essentials in under ten minutes: one round of the floor, ours, MLflow and the frameworks with JPEGs "
    "of 225 and 512 px; leaves out the other images, the rows that are no framework, the engine table"
)
ROUNDS, SECONDS = 3, 5.0
QUICK_ROUNDS, QUICK_SECONDS = 1, 4.0


def run(options: argparse.Namespace) -> None:
    """Measure what the options ask for, and write the report.

    Raises
    ------
    BenchmarkError
        If something is missing without which nothing can be measured.
    """
    load.require_wrk()
    network.ensure()
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    store = Store(options.out, network=network.fingerprint(), command=command)
    try:
        if not (options.report_only or options.engines_only):
            _rows(options, store)
        if not (options.report_only or options.no_engines or options.quick or options.rows):
            engines.measure_all(store, patience_s=patience_s(options))
    finally:
        report(store)


def patience_s(options: argparse.Namespace) -> float:
    """How long to wait for a quiet machine, as the options have it."""
    return 0.0 if options.no_wait else quiet.PATIENCE_S


def report(store: Store) -> None:
    """Write the tables and the plot of all that there is."""
    folder = store.path.parent
    (folder / table.FILE).write_text(table.markdown(store.results))
    drawn = plot.draw(store.results, folder / plot.FILE)
    say(f"Results: {folder / table.FILE}, {store.path.name}" + (f", {plot.FILE}" if drawn else ""))


def _rows(options: argparse.Namespace, store: Store) -> None:
    names = options.rows or (QUICK if options.quick else tuple(ROWS))
    rows = [ROWS[name] for name in dict.fromkeys(names) if name in ROWS]
    grid = Grid(
        images=tuple(options.images or (QUICK_IMAGES if options.quick else images.NAMES)),
        connections=CONNECTIONS,
        seconds=options.seconds or (QUICK_SECONDS if options.quick else SECONDS),
        patience_s=patience_s(options),
    )
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    rows = [row for row in rows if _ready(row, store, anew=not options.resume)]
    drawn = images.all_images()
    for number in range(1, rounds + 1):
        for row in list(rows):
            if options.resume and store.has(row, number):
                continue
            say(f"round {number} of {rounds}: {row.title}")
            try:
                store.add(row, number, measure(row, grid, drawn))
            except BenchmarkError as error:
                say(f"✗ {error}")
                store.fail(row, str(error))
                rows.remove(row)


def _ready(row: Row, store: Store, *, anew: bool) -> bool:
    """Make what a row needs; whether it can be measured."""
    in_docker = row.name == containers.NAME
    versions = environments.versions(row.environment)
    obstacle = containers.obstacle() if in_docker else row.obstacle()
    if obstacle is None:
        try:
            if in_docker:
                containers.build()
            else:
                servers.prepare(row)
        except BenchmarkError as error:
            obstacle = str(error)
    if obstacle:
        say(f"✗ {row.title} is left out: {obstacle}")
        store.begin(row, versions=versions, installed_mb=None, anew=anew)
        store.fail(row, obstacle)
        return False
    size = containers.added_bytes() if in_docker else environments.installed_bytes(row.environment)
    store.begin(row, versions=versions, installed_mb=size / MEGABYTE, anew=anew)
    return True
