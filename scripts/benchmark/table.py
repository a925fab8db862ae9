"""The Markdown file: what was measured, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmark import figures
from scripts.benchmark.figures import CONNECTIONS, Spread, at, best, launch, point_for
from scripts.benchmark.images import NAMES
from scripts.benchmark.phases import FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.benchmark.results import Measured, Results

FILE = "benchmark.md"
MAIN = "jpeg-512"
OURS = "ours"
NONE = "-"
MINUTE_S = 60


def markdown(results: Results) -> str:
    """Write all tables for which there are figures."""
    parts = [_head(results), _servers(results), _ratios(results), _scaling(results), _where(results)]
    parts += [_engines(results), _soak(results), _not_measured(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def spread(value: Spread | None, digits: int = 0) -> str:
    """A median, with its range behind it if there was more than one round."""
    if value is None:
        return NONE
    median = f"{value.median:.{digits}f}"
    if value.low == value.high:
        return median
    return f"{median} ({value.low:.{digits}f}-{value.high:.{digits}f})"


def _number(value: float | None, digits: int = 0) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _small(value: float | None) -> str:
    return NONE if value is None else f"{value:.1e}"


def _head(results: Results) -> str:
    machine = results["machine"]
    rounds = max((len(row["rounds"]) for row in results["rows"].values()), default=0)
    dates = sorted(row["date"] for row in results["rows"].values())
    when = f"{dates[0]} to {dates[-1]}" if len(set(dates)) > 1 else "".join(dates[:1])
    return (
        f"# Benchmark\n\n`{results['command']}` at {results['revision']}, {when}: {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}. Network {results['network'][:12]}. "
        f"Medians of {rounds} round{'s' * (rounds != 1)}, their range in brackets. "
        "One server at a time is up, with the client, wrk, on the same cores; every answer was compared with "
        "Keras's before anything was timed. Memory is the proportional set size of all processes of a server "
        "at the end of a round; what is installed is counted without Python itself."
    )


def _servers(results: Results) -> str:
    rows = [row for row in results["rows"].values() if row["rounds"]]
    if not rows:
        return ""
    middle = f"{MAIN}@8"
    head = ["server", "engine", *[f"req/s at {count}" for count in CONNECTIONS], "p50 ms at 8",
            "p99 ms at 8", "errors", "CPU ms a request", "first ping s", "first prediction s", "PSS MB",
            "installed MB"]  # fmt: skip
    cells = []
    for row in rows:
        rates = [at(row, point_for(row, f"{MAIN}@{count}"), "per_second") for count in CONNECTIONS]
        place = point_for(row, middle)
        cells.append([
            row["title"], row["engine"], *(spread(rate) for rate in rates),
            spread(at(row, place, "p50_ms"), 1), spread(at(row, place, "p99_ms"), 1), str(_errors(row)),
            spread(at(row, place, "cpu_ms"), 2), spread(launch(row, "ping_s"), 2),
            spread(launch(row, "prediction_s"), 2), spread(launch(row, "pss_mb")),
            _number(row["installed_mb"]),
        ])  # fmt: skip
    return "## Servers: a 512 px JPEG at 1, 8 and 32 connections\n\n" + table(head, cells)


def _errors(row: Measured) -> int:
    return sum(point["errors"] for each in row["rounds"].values() for point in each["points"].values())


def _ratios(results: Results) -> str:
    ours = results["rows"].get(OURS)
    if ours is None:
        return ""
    cells = []
    for point in (f"{image}@{count}" for image in NAMES for count in CONNECTIONS):
        own = at(ours, point, "per_second")
        if own is None:
            continue
        compared = [*_against(results, point, own), _cpu(results, point), _steadiness(ours, point)]
        cells.append([point.replace("@", ", "), spread(own), *compared])
    head = ["image, connections", "ours, req/s", "best framework", "ours is faster", "best MLflow",
            "ours is faster", "CPU a request, of the floor's", "p99 / p50"]  # fmt: skip
    return "## Ours against the rest\n\n" + table(head, cells) if cells else ""


def _against(results: Results, point: str, own: Spread) -> list[str]:
    cells = []
    for kind in ("framework", "mlflow"):
        found = best(results, kind, point)
        if found is None:
            cells += [NONE, NONE]
        else:
            name, other = found
            cells += [f"{name} {other.median:.0f}", f"{own.median / other.median:.1f}x"]
    return cells


def _cpu(results: Results, point: str) -> str:
    floor, ours = results["rows"].get("floor"), results["rows"][OURS]
    least = floor and at(floor, point_for(floor, point), "cpu_ms")
    own = at(ours, point, "cpu_ms")
    return f"{own.median / least.median:.2f}x" if least and own else NONE


def _steadiness(row: Measured, point: str) -> str:
    p50, p99 = at(row, point, "p50_ms"), at(row, point, "p99_ms")
    return f"{p99.median / p50.median:.1f}" if p50 and p99 and p50.median else NONE


def _scaling(results: Results) -> str:
    """Requests a second of every row against image size and connections, workers side by side."""
    points = [f"{image}@{count}" for image in NAMES for count in CONNECTIONS]
    rows = [row for row in results["rows"].values() if row["rounds"]]
    shown = [point for point in points if any(at(row, point, "per_second") for row in rows)]
    cells = [
        [row["title"], *(spread_short(at(row, point_for(row, point), "per_second")) for point in shown)]
        for row in rows
    ]
    head = ["requests/s", *(point.replace("@", ", ") for point in shown)]
    return "## Scaling: image, connections, workers\n\n" + table(head, cells) if shown else ""


def spread_short(value: Spread | None) -> str:
    """A median alone: a wide table has no room for ranges."""
    return NONE if value is None else f"{value.median:.0f}"


def _where(results: Results) -> str:
    ours = results["rows"].get(OURS)
    if ours is None:
        return ""
    cells = []
    for point in (f"{image}@{count}" for image in NAMES for count in CONNECTIONS):
        spent = figures.phases(ours, point)
        if spent:
            known = [spent.get(name) for name in FIELDS]
            work = spent.get("decode_us", 0) + spent.get("inference_us", 0)
            share = f"{spent.get('decode_us', 0) / work:.0%}" if work else NONE
            cells.append([point.replace("@", ", "), *(_number(value) for value in known), share])
    head = [
        "image, connections",
        *(name.removesuffix("_us") for name in FIELDS),
        "decode's share of the work",
    ]
    return (
        "## Where the time goes: medians of what our server logs, microseconds\n\n" + table(head, cells)
        if cells else ""
    )  # fmt: skip


def _engines(results: Results) -> str:
    cells = [
        [
            each["title"], each["version"],
            *(_number(each["latency_ms"].get(count), 2) for count in ("1", "2")),
            _number(each["load_s"], 2), _number(each["pss_mb"]), _small(each["largest_difference"]),
            f"{each['changed_classes']} of {each['images']}",
        ]
        for each in results["engines"].values() if each["failed"] is None
    ]  # fmt: skip
    head = ["engine", "version", "ms, 1 thread", "ms, 2 threads", "load s", "PSS MB",
            "largest difference of a probability", "changed classes"]  # fmt: skip
    return "## Engines: the network alone, one image\n\n" + table(head, cells) if cells else ""


def _soak(results: Results) -> str:
    soak = results["soak"]
    if soak is None:
        return ""
    part = "minute" if soak["part_s"] == MINUTE_S else f"part of {soak['part_s']:.0f} s"
    cells = [
        [str(number), str(each["requests"]), str(each["errors"]), _number(each["p50_ms"], 1),
         _number(each["p99_ms"], 1), _number(each["pss_mb"], 1)]
        for number, each in enumerate(soak["parts"], start=1)
    ]  # fmt: skip
    return (
        f"## Soak: {soak['per_second']:.0f} requests/s of {soak['image']}, "
        f"{soak['per_second'] / soak['of_per_second']:.0%} of the {soak['of_per_second']:.0f} measured "
        f"({soak['date']})\n\nSent at a constant rate, whatever comes back; latency counts from when a "
        f"request was due. Others used {soak['others']:.0%} of the cores meanwhile.\n\n"
        + table([part, "requests", "errors", "p50 ms", "p99 ms", "PSS MB"], cells)
    )


def _not_measured(results: Results) -> str:
    failed = {row["title"]: row["failed"] for row in results["rows"].values() if row["failed"]}
    failed |= {each["title"]: each["failed"] for each in results["engines"].values() if each["failed"]}
    lines = [f"- {title}: {str(reason).splitlines()[0]}" for title, reason in failed.items()]
    lines.append(
        "- TensorFlow Serving, Triton, OpenVINO Model Server and AWS's own containers: not installable from "
        "package indexes, so not compared."
    )
    return "## Not measured\n\n" + "\n".join(lines)
