"""Plots of one architecture's training, as matplotlib figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from container.imaging import preprocess
from model.evaluation.metrics import BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from model.arrays import Floats32
    from model.data.dataset import Scan
    from model.evaluation.comparison import Comparison
    from model.evaluation.metrics import Estimates
    from model.evaluation.predictions import Predictions
    from model.evaluation.report import Mistake

FIRST, SECOND, GUIDE = "#4477aa", "#cc6677", "#999999"  # Tol's palette, safe for colour blindness
MISTAKES, HEATMAPS = 12, 20  # images in a grid
DPI = 90
TITLES = {
    "roc": "ROC curve, out of fold",
    "calibration": "Calibration, out of fold",
}


def roc(predictions: Predictions, measured: Estimates) -> Figure:
    """Out-of-fold ROC curve, and the operating point of the threshold."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="chance")
    cases = predictions.cases
    false_positive, true_positive, _ = roc_curve(
        cases.labels, predictions.probabilities, sample_weight=cases.weights
    )
    axes.plot(false_positive, true_positive, color=FIRST, linewidth=1.4, label=f"AUC {measured['roc_auc']}")
    point = (1 - measured["specificity"].value, measured["sensitivity"].value)
    axes.plot(*point, "o", color=SECOND, label="at the threshold")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, out of fold")
    axes.legend(frameon=False, loc="lower right")
    return figure


def calibration(predictions: Predictions) -> Figure:
    """Share labelled YES against mean probability, in bins of equal mass."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="perfect")
    cases, probabilities = predictions.cases, predictions.probabilities
    bins = np.array_split(np.argsort(probabilities), min(BINS, len(cases)))
    predicted, observed = (
        [np.average(values[own], weights=cases.weights[own]) for own in bins]
        for values in (probabilities, cases.labels)
    )
    axes.plot(predicted, observed, "o-", color=FIRST, linewidth=1, markersize=4, label="out of fold")
    axes.set(xlabel="predicted probability", ylabel="share labelled YES", title="Calibration")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left")
    return figure


def worst_mistakes(mistakes: Sequence[Mistake], scans: Sequence[Scan]) -> Figure:
    """The most confident mistakes with file name and probability."""
    by_name = {scan.name: scan for scan in scans}
    figure = Figure(figsize=(10, 8.4), layout="constrained")
    figure.suptitle(f"Worst of {len(mistakes)} mistakes among {len(scans)} images, out of fold")
    for place, mistake in enumerate(mistakes[:MISTAKES], start=1):
        axes = figure.add_subplot(3, 4, place)
        axes.imshow(preprocess(by_name[mistake.name].image(), size=224)[:, :, 0], cmap="gray", vmin=0, vmax=1)
        truth = "YES" if mistake.label else "NO"
        axes.set_title(f"{mistake.name}\nlabel {truth}, p(YES) = {mistake.probability:.2f}", fontsize=9)
        axes.axis("off")
    return figure


def heatmaps(pixels: Floats32, evidence: Floats32, names: Sequence[str]) -> Figure:
    """Images (n, size, size, 1), each next to a copy overlaid with its evidence (n, rows, columns)."""
    rows = math.ceil(len(names) / 4)
    figure = Figure(figsize=(13, 1.9 * rows), layout="constrained")
    reach = float(np.quantile(np.abs(evidence), 0.99)) or 1.0
    for place, name in enumerate(names):
        for column, shown in enumerate((None, evidence[place])):
            axes = figure.add_subplot(rows, 8, 2 * place + column + 1)
            axes.imshow(pixels[place, ..., 0], cmap="gray", vmin=0, vmax=1, extent=(0, 1, 1, 0))
            if shown is not None:
                axes.imshow(
                    shown, cmap="coolwarm", vmin=-reach, vmax=reach, alpha=0.5, extent=(0, 1, 1, 0),
                    interpolation="bilinear",
                )  # fmt: skip
            axes.set_title(name if shown is None else "", fontsize=8)
            axes.axis("off")
    return figure


def paired(first: Predictions, second: Predictions, comparison: Comparison) -> Figure:
    """ROC curves of two networks on the same images, and their paired differences by part."""
    figure = Figure(figsize=(9.6, 4.8), dpi=DPI, layout="constrained")
    curves, axes = figure.subplots(1, 2)
    curves.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="chance")
    for name, predictions, colour in (("A", first, FIRST), ("B", second, SECOND)):
        cases = predictions.cases
        share = roc_curve(cases.labels, predictions.probabilities, sample_weight=cases.weights)
        curves.plot(*share[:2], color=colour, linewidth=1.4, label=name)
    curves.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC on the images of both")
    curves.legend(frameon=False, loc="lower right")
    axes.axvline(0, color=GUIDE, linestyle=":")
    rows = [(part.name, name, each) for part in comparison.parts for name, each in part.metrics.items()]
    for row, (_, _, each) in enumerate(rows):
        axes.plot([each.difference.low, each.difference.high], [row, row], color=FIRST)
        axes.plot(each.difference.value, row, "o", color=FIRST, markersize=4)
    axes.set_yticks(range(len(rows)), [f"{part}, {name.replace('_', ' ')}" for part, name, _ in rows])
    axes.tick_params(labelsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="A less B, with its 95 % interval", title="Differences")
    return figure


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.8, 4.8), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()
