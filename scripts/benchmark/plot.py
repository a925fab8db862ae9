"""The picture of the results: requests a second, processor time, image size, and what a start costs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.benchmark import figures
from scripts.benchmark.figures import at, launch, point_for
from scripts.benchmark.images import SIZES, name_of
from scripts.benchmark.table import MAIN, OURS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    from scripts.benchmark.figures import Spread
    from scripts.benchmark.results import Measured, Results

FILE = "benchmark.png"
MIDDLE = 8  # connections
CUT = 5  # medians: a longer bar is cut, or it would hide how the others differ
COLOURS = {
    "floor": "#8a8f98",
    "ours": "#0b7285",
    "same engine": "#74b8c2",
    "framework": "#e8a33d",
    "hand-written": "#c9b18a",
    "mlflow": "#c2544d",
}
"""One a kind of row; they differ in lightness too."""
LEGEND = {
    "floor": "decode and inference alone",
    "ours": "ours",
    "same engine": "frameworks with our engine",
    "framework": "frameworks",
    "hand-written": "other servers",
    "mlflow": "MLflow",
}


def draw(results: Results, path: Path) -> bool:
    """Draw what there is into a PNG file; whether there was anything."""
    rows = {name: row for name, row in results["rows"].items() if row["rounds"]}
    if not rows:
        return False
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(13, 3.2 + 0.42 * len(rows)), layout="constrained", dpi=120)
    panels = figure.subplots(2, 2)
    place = f"{MAIN}@{MIDDLE}"
    _bars(panels[0][0], rows, lambda row: at(row, point_for(row, place), "per_second"),
          title="Requests a second", digits=0, higher_is_better=True)  # fmt: skip
    _bars(panels[0][1], rows, lambda row: at(row, point_for(row, place), "cpu_ms"),
          title="Processor time a request, ms", digits=1, higher_is_better=False)  # fmt: skip
    _sizes(panels[1][0], results, rows)
    _bars(panels[1][1], rows, lambda row: launch(row, "prediction_s"),
          title="Launch to first prediction, s", digits=2, higher_is_better=False)  # fmt: skip
    kinds = [kind for kind in COLOURS if any(row["kind"] == kind for row in rows.values())]
    figure.legend(
        handles=[Patch(color=COLOURS[kind], label=LEGEND[kind]) for kind in kinds],
        loc="outside lower center", ncols=len(kinds), frameon=False,
    )  # fmt: skip
    figure.suptitle(
        f"512 px JPEG, {MIDDLE} connections, {results['machine']['cores']} cores", x=0.01, ha="left"
    )
    figure.savefig(path)
    return True


def _bars(
    panel: Axes,
    rows: dict[str, Measured],
    value: Callable[[Measured], Spread | None],
    *,
    title: str,
    digits: int,
    higher_is_better: bool,
) -> None:
    """Draw one bar a row, the best on top, with its range; the number stands behind it."""
    found = [(row, spread) for row in rows.values() if (spread := value(row))]
    found.sort(key=lambda each: each[1].median, reverse=not higher_is_better)
    panel.set_title(title, loc="left", fontweight="bold", fontsize=10)
    if not found:
        return
    most = max(spread.high for _, spread in found)
    shown = min(most, CUT * statistics.median(spread.median for _, spread in found))
    for height, (row, spread) in enumerate(found):
        panel.barh(height, min(spread.median, shown), color=COLOURS[row["kind"]], height=0.7)
        text = f"{spread.median:.{digits}f}"
        if spread.high <= shown:
            panel.plot([spread.low, spread.high], [height, height], color="#333333", linewidth=1)
        else:
            text += " (cut)"
        panel.text(min(spread.high, shown) + 0.01 * shown, height, text, va="center", fontsize=8)
    panel.set_yticks(range(len(found)), [_short(row["title"]) for row, _ in found])
    panel.set_xlim(0, 1.15 * shown)
    panel.tick_params(axis="y", length=0)


def _sizes(panel: Axes, results: Results, rows: dict[str, Measured]) -> None:
    """Draw requests a second against the size of a JPEG: the floor, ours, and the best of each kind."""
    point = f"{MAIN}@{MIDDLE}"
    others = [figures.best(results, kind, point) for kind in ("framework", "mlflow")]
    names = [name for name in ("floor", OURS) if name in rows] + [found[0] for found in others if found]
    for name in names:
        line = [
            (size, spread.median)
            for size in SIZES
            if (spread := at(rows[name], point_for(rows[name], f"{name_of(size, 'jpeg')}@{MIDDLE}"),
                             "per_second"))
        ]  # fmt: skip
        if line:
            across, up = zip(*line, strict=True)
            panel.plot(across, up, marker="o", color=COLOURS[rows[name]["kind"]],
                       label=_short(rows[name]["title"]))  # fmt: skip
    panel.set_title(
        "Requests a second by the JPEG's size", loc="left", fontweight="bold",
        fontsize=10,
    )  # fmt: skip
    panel.set_xticks(SIZES, [f"{size} px" for size in SIZES])
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False, fontsize=8)


def _short(title: str) -> str:
    return title.removesuffix(", a process a core, no HTTP").replace(" (SageMaker's sample shape)", "")
