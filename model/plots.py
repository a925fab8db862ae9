"""Drawn evidence of one architecture's training, each a matplotlib figure for MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from container.imaging import preprocess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from .data import Scan
    from .evaluate import Figure as Measured
    from .evaluate import Judgement

    Histories = Sequence[Sequence[dict[str, float]]]

TRAINING, VALIDATION, GUIDE = (
    "#4477aa",
    "#cc6677",
    "#999999",
)  # Tol's colours, told apart by colour-blind eyes
MISTAKES = 12
DARK = 0.5  # share from which on a cell's blue asks for white text


def losses(histories: Histories) -> Figure:
    """Each fold's training and validation loss, thin, and their mean over the folds, thick."""
    figure, axes = _square(width=6.4)
    for name, label, colour in (("loss", "training", TRAINING), ("val_loss", "validation", VALIDATION)):
        epochs = [epoch for epoch, values in enumerate(histories[0], start=1) if name in values]
        curves = np.array([[values[name] for values in history if name in values] for history in histories])
        axes.plot(epochs, curves.T, color=colour, alpha=0.35, linewidth=0.8)
        axes.plot(epochs, curves.mean(axis=0), color=colour, linewidth=2, label=label)
    axes.set(
        xlabel="epoch", ylabel="cross-entropy", title=f"Loss over {len(histories)} folds", ylim=(0, None)
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def roc(judged: Judgement, figures: dict[str, Measured]) -> Figure:
    """Out-of-fold ROC curve with the point that the cross-fitted thresholds reach."""
    figure, axes = _square()
    false_positive, true_positive, _ = roc_curve(
        judged.cases.labels, judged.probabilities, sample_weight=judged.cases.weights
    )
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="chance")
    axes.plot(false_positive, true_positive, color=TRAINING, linewidth=2, label=f"AUC {figures['roc_auc']}")
    axes.plot(
        1 - figures["specificity"].value,
        figures["sensitivity"].value,
        "o",
        color=VALIDATION,
        label="threshold",
    )
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, out of fold")
    axes.legend(frameon=False, loc="lower right")
    return figure


def confusion(judged: Judgement) -> Figure:
    """Out-of-fold confusion matrix, in images."""
    figure, axes = _square(width=4.4)
    counts = np.zeros((2, 2), dtype=int)
    np.add.at(counts, (judged.cases.labels, judged.decisions), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        axes.text(
            column, row, f"{counts[row, column]}\n{shares[row, column]:.0%}", ha="center", va="center",
            color="white" if shares[row, column] > DARK else "black", fontsize=13,
        )  # fmt: skip
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=["NO", "YES"], yticklabels=["NO", "YES"])
    axes.set(xlabel="said", ylabel="labelled", title="Out-of-fold decisions")
    return figure


def calibration(judged: Judgement, *, bins: int = 8) -> Figure:
    """How often images with about this probability are labelled YES, in bins of equal mass."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", label="perfect")
    order = np.array_split(np.argsort(judged.probabilities), min(bins, len(judged.cases)))
    said = [np.average(judged.probabilities[own], weights=judged.cases.weights[own]) for own in order]
    true = [np.average(judged.cases.labels[own], weights=judged.cases.weights[own]) for own in order]
    axes.plot(said, true, "o-", color=TRAINING, label="out of fold")
    axes.set(xlabel="probability given", ylabel="share labelled YES", title="Calibration")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left")
    return figure


def worst_mistakes(judged: Judgement, scans: Sequence[Scan]) -> Figure:
    """The wrong decisions that were surest of themselves, with file name and probability; may be none."""
    distance = np.abs(judged.cases.labels - judged.probabilities)
    surest = judged.wrong[np.argsort(-distance[judged.wrong])][:MISTAKES]
    figure = Figure(figsize=(10, 8.4), layout="constrained")
    figure.suptitle(f"Worst of {len(judged.wrong)} mistakes among {len(judged.cases)} images, out of fold")
    for place, index in enumerate(surest, start=1):
        axes = figure.add_subplot(3, 4, place)
        axes.imshow(preprocess(scans[index].image(), size=224)[:, :, 0], cmap="gray", vmin=0, vmax=1)
        truth = "YES" if judged.cases.labels[index] else "NO"
        axes.set_title(
            f"{scans[index].name}\n{truth}, got p(YES) = {judged.probabilities[index]:.2f}", fontsize=9
        )
        axes.axis("off")
    return figure


def _square(*, width: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4.8), dpi=120, layout="constrained")
    return figure, figure.add_subplot()
