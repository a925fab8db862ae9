"""The raw figures: one JSON file, to which every finished round of a row is added at once."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from scripts.benchmark.places import CORES, ROOT

if TYPE_CHECKING:
    from scripts.benchmark.rows import Row

SCHEMA = 1  # of what is written; results of another form are set aside
FILE = "results.json"


class Point(TypedDict):
    """One image at one number of connections; `others` is the share of the cores that others used."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    requests: int
    cpu_ms: float
    others: float


class Round(TypedDict):
    """A row in one round."""

    ping_s: float | None
    prediction_s: float
    pss_mb: float | None
    points: dict[str, Point]
    phases: dict[str, dict[str, float]]


class Measured(TypedDict):
    """A row: what it is, and its rounds by their numbers.

    `any_image` is whether the image makes no difference to it: a preprocessed tensor has one size.
    """

    title: str
    kind: str
    engine: str
    workers: int
    any_image: bool
    date: str
    installed_mb: float | None
    versions: dict[str, str]
    rounds: dict[str, Round]
    failed: str | None


class Engine(TypedDict):
    """One engine: milliseconds of an image by the number of threads, and how it compares with Keras."""

    title: str
    version: str
    latency_ms: dict[str, float]
    load_s: float | None
    pss_mb: float | None
    largest_difference: float | None
    changed_classes: int
    images: int
    failed: str | None


class Part(TypedDict):
    """One part of a soak, a minute of the usual ten."""

    requests: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    pss_mb: float | None


class Soak(TypedDict):
    """A soak: its rate, the maximum that this is a share of, and what came of it part by part.

    `others` is the share of the cores that others used meanwhile.
    """

    image: str
    per_second: float
    of_per_second: float
    date: str
    others: float
    part_s: float
    parts: list[Part]


class Machine(TypedDict):
    """What it all ran on."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str


class Results(TypedDict):
    """Everything that has been measured with one network on one machine."""

    schema: int
    network: str
    revision: str
    machine: Machine
    command: str
    rows: dict[str, Measured]
    engines: dict[str, Engine]
    soak: Soak | None


class Store:
    """The results of one folder, written after each addition."""

    def __init__(self, folder: Path, *, network: str, command: str) -> None:
        self.path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        fresh: Results = {
            "schema": SCHEMA,
            "network": network,
            "revision": revision(),
            "machine": machine(),
            "command": command,
            "rows": {},
            "engines": {},
            "soak": None,
        }
        self.results = self._kept(fresh) or fresh
        self.results |= {"command": command, "revision": fresh["revision"]}

    def _kept(self, fresh: Results) -> Results | None:
        """What is there already, if it is of the same form, network and machine."""
        if not self.path.is_file():
            return None
        kept: Results = json.loads(self.path.read_text())
        same = all(kept.get(key) == fresh[key] for key in ("schema", "network", "machine"))
        if not same:
            self.path.rename(self.path.with_suffix(f".{datetime.now(UTC):%Y%m%d-%H%M%S}.json"))
        return kept if same else None

    def begin(self, row: Row, *, versions: dict[str, str], installed_mb: float | None, anew: bool) -> None:
        """Make room for a row, forgetting its earlier rounds if it is measured anew."""
        earlier = self.results["rows"].get(row.name)
        self.results["rows"][row.name] = {
            "title": row.title,
            "kind": row.kind,
            "engine": row.engine,
            "workers": row.workers,
            "any_image": row.wire == "tensor",
            "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "installed_mb": installed_mb,
            "versions": versions,
            "rounds": {} if anew or earlier is None else earlier["rounds"],
            "failed": None,
        }
        self.write()

    def add(self, row: Row, number: int, measured: Round) -> None:
        """Add a round of a row."""
        self.results["rows"][row.name]["rounds"][str(number)] = measured
        self.write()

    def fail(self, row: Row, reason: str) -> None:
        """Say of a row why it was not measured."""
        self.results["rows"][row.name]["failed"] = reason
        self.write()

    def has(self, row: Row, number: int) -> bool:
        """Whether a round of a row is there."""
        measured = self.results["rows"].get(row.name)
        return measured is not None and str(number) in measured["rounds"]

    def write(self) -> None:
        """Write everything; a reader never sees half of it."""
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.results, indent=1) + "\n")
        beside.replace(self.path)


def machine() -> Machine:
    """Describe the machine."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "?")
    memory = Path("/proc/meminfo").read_text().split()[1]  # MemTotal, in KiB
    return {
        "cpu": model,
        "cores": CORES,
        "memory_gib": round(int(memory) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def revision() -> str:
    """The commit, with "-dirty" where the tree differs; "unknown" outside of git."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"
