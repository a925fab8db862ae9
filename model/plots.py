"""Drawn evidence of one architecture's training, each a matplotlib figure for MLflow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from container.imaging import preprocess

from .evaluate import BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from .data import Scan
    from .evaluate import Figure as Measured
    from .evaluate import Figures
    from .judge import Judgement
    from .report import Mistake

    Histories = Sequence[Sequence[dict[str, float]]]

FIRST, SECOND, GUIDE = "#4477aa", "#cc6677", "#999999"  # Tol's colours, told apart by colour-blind eyes
MISTAKES, HEATMAPS = 12, 20  # images in these grids
DARK = 0.5  # share from which on a cell's blue asks for white text
DPI = 90
TITLES = {
    "roc": "ROC curve, out of fold",
    "calibration": "Calibration, out of fold",
    "comparison": "ROC AUC of networks and baselines",
}


def losses(histories: Histories) -> Figure:
    """Each measured fit's training loss, thin, and their mean, thick."""
    figure, axes = _square(width=6.4)
    curves = np.array([[values["loss"] for values in history] for history in histories])
    epochs = np.arange(1, curves.shape[1] + 1)
    axes.plot(epochs, curves.T, color=FIRST, alpha=0.25, linewidth=0.8)
    axes.plot(epochs, curves.mean(axis=0), color=FIRST, linewidth=2)
    axes.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    axes.set_title(f"Training loss of {len(histories)} fits")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def roc(judged: Sequence[Judgement], measured: Figures) -> Figure:
    """Each repeat's out-of-fold ROC curve, with the point that the served kind of threshold reaches."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="chance")
    for repeat, each in enumerate(judged):
        cases = each.cases
        false_positive, true_positive, _ = roc_curve(
            cases.labels, each.probabilities, sample_weight=cases.weights
        )
        label = f"AUC {measured['roc_auc']}" if repeat == 0 else None
        axes.plot(false_positive, true_positive, color=FIRST, linewidth=1.4, alpha=0.8, label=label)
    point = (1 - measured["specificity"].value, measured["sensitivity"].value)
    axes.plot(*point, "o", color=SECOND, label="at the threshold")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, out of fold")
    axes.legend(frameon=False, loc="lower right")
    return figure


def confusion(judged: Sequence[Judgement]) -> Figure:
    """Out-of-fold confusion matrix, in images, the mean over the repeats."""
    figure, axes = _square(width=4.4)
    counts = np.zeros((2, 2))
    for each in judged:
        np.add.at(counts, (each.cases.labels, each.decisions), 1 / len(judged))
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        axes.text(
            column, row, f"{counts[row, column]:.0f}\n{shares[row, column]:.0%}", ha="center", va="center",
            color="white" if shares[row, column] > DARK else "black", fontsize=13,
        )  # fmt: skip
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=["NO", "YES"], yticklabels=["NO", "YES"])
    axes.set(xlabel="said", ylabel="labelled", title="Out-of-fold decisions")
    return figure


def calibration(judged: Sequence[Judgement]) -> Figure:
    """How often images with about this probability are labelled YES, in bins of equal mass, by repeat."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="perfect")
    for repeat, each in enumerate(judged):
        bins = np.array_split(np.argsort(each.probabilities), min(BINS, len(each.cases)))
        said, true = (
            [np.average(values[own], weights=each.cases.weights[own]) for own in bins]
            for values in (each.probabilities, each.cases.labels)
        )
        label = f"out of fold, {len(judged)} repeats" if repeat == 0 else None
        axes.plot(said, true, "o-", color=FIRST, alpha=0.7, linewidth=1, markersize=4, label=label)
    axes.set(xlabel="probability given", ylabel="share labelled YES", title="Calibration")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left")
    return figure


def comparison(rows: dict[str, Measured]) -> Figure:
    """ROC AUC of networks and baselines with their intervals, one below the other."""
    figure = Figure(figsize=(6.4, 0.8 + 0.36 * len(rows)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(rows))[::-1]
    for place, each in zip(places, rows.values(), strict=True):
        axes.plot([each.low, each.high], [place, place], color=FIRST, linewidth=2)
        axes.plot(each.value, place, "o", color=FIRST)
    axes.axvline(0.5, color=GUIDE, linestyle=":")
    axes.set(yticks=places, yticklabels=list(rows), xlabel="ROC AUC, out of fold, with 95 % interval")
    return figure


def worst_mistakes(mistakes: Sequence[Mistake], scans: Sequence[Scan]) -> Figure:
    """The wrong decisions that were surest of themselves, with file name and probability; may be none."""
    by_name = {scan.name: scan for scan in scans}
    figure = Figure(figsize=(10, 8.4), layout="constrained")
    figure.suptitle(f"Worst of {len(mistakes)} mistakes among {len(scans)} images, out of fold")
    for place, mistake in enumerate(mistakes[:MISTAKES], start=1):
        axes = figure.add_subplot(3, 4, place)
        axes.imshow(preprocess(by_name[mistake.name].image(), size=224)[:, :, 0], cmap="gray", vmin=0, vmax=1)
        truth = "YES" if mistake.label else "NO"
        axes.set_title(f"{mistake.name}\n{truth}, got p(YES) = {mistake.probability:.2f}", fontsize=9)
        axes.axis("off")
    return figure


def heatmaps(pixels: NDArray[np.float32], evidence: NDArray[np.float64], names: Sequence[str]) -> Figure:
    """Images, each beside itself under the network's evidence for a tumour, for people to judge.

    Parameters
    ----------
    pixels
        Shape (n, size, size, 1).
    evidence
        Shape (n, rows, columns); what is above 0 speaks for a tumour.
    """
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


def _square(*, width: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4.8), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()
