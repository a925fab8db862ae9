"""The model card that travels with the artifact: words, numbers and drawn plots, no image of the data set."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from . import plots
from .card_text import (
    CHANGES,
    COMPARED,
    DATA,
    DECISION,
    DRAWN,
    FIGURES,
    LABEL_NOISE,
    LIMITS,
    MISTAKES,
    PRETRAINED,
    REFUSAL,
    SLICES,
    USE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

    from .evaluate import Figure as Measured
    from .judge import Judgement
    from .metadata import Metadata
    from .report import Report

NAMES = {
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity (tumours found)",
    "specificity": "Specificity (others left alone)",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "youden_balanced_accuracy": "Balanced accuracy at the even threshold",
    "youden_sensitivity": "Sensitivity at the even threshold",
    "youden_specificity": "Specificity at the even threshold",
    "brier_score": "Brier score (lower is better)",
    "calibration_error": "Expected calibration error (lower is better)",
}
LISTED = 20  # mistakes named in the card


def write(metadata: Metadata, report: Report, judged: Sequence[Judgement]) -> str:
    """Write the card of one trained network as Markdown, its plots inside as PNG.

    Parameters
    ----------
    judged
        The repeats whose figures the report claims.
    """
    phantom = metadata["dataset"]["kind"] == "phantom"
    drawn = {name: _inline(name, figure) for name, figure in plots_of(report, judged).items()}
    sections = [
        f"# Model card: {metadata['name']} ({metadata['architecture']})"
        + (", trained on drawn phantoms" if phantom else "")
        + "\n",
        *([DRAWN] if phantom else []),
        USE,
        _data(metadata),
        _figures(metadata, report),
        drawn["roc"],
        drawn["calibration"],
        _compared(report),
        drawn["comparison"],
        _changes(report),
        _slices(report),
        _mistakes(report),
        _refusal(report),
        _decision(metadata),
        LIMITS.format(size=metadata["input"]["size"]) + ("" if phantom else LABEL_NOISE),
    ]
    return "\n".join(sections)


def plots_of(report: Report, judged: Sequence[Judgement]) -> dict[str, Figure]:
    """Draw what the card shows; nothing in it is made from a single image."""
    rows = {"as chosen inside the folds": report.figures, **report.rivals, **report.baselines}
    return {
        "roc": plots.roc(judged, report.figures),
        "calibration": plots.calibration(judged),
        "comparison": plots.comparison({name: figures["roc_auc"] for name, figures in rows.items()}),
    }


def _inline(name: str, figure: Figure) -> str:
    """Put a plot into the text, so that the card is one file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"![{plots.TITLES[name]}](data:image/png;base64,{encoded})\n"


def _data(metadata: Metadata) -> str:
    dataset, split = metadata["dataset"], metadata["split"]
    text = DATA.format(**dataset, **split, no=dataset["images"] - dataset["yes"])
    before = metadata["pretraining"]
    if before:
        text += PRETRAINED.format(**before | {"types": ", ".join(before["types"])})
    return text


def _figures(metadata: Metadata, report: Report) -> str:
    rows = _rows((title, *_cells(report.figures[name])) for name, title in NAMES.items())
    return FIGURES.format(
        rows=rows,
        majority_accuracy=report.majority_accuracy,
        training_auc=report.training_auc,
        **metadata["split"],
    )


def _compared(report: Report) -> str:
    named = {
        **{f"`{name}`": figures for name, figures in report.rivals.items()},
        **report.baselines,
        "**a careless split** of the network that serves": report.naive,
    }
    rows = _rows(
        (name, str(figures["roc_auc"]), str(figures["youden_balanced_accuracy"]), str(figures["accuracy"]))
        for name, figures in named.items()
    )
    forest = report.over_forest
    return COMPARED.format(rows=rows, over=forest.value, low=forest.low, high=forest.high)


def _changes(report: Report) -> str:
    rows = _rows(
        (change, f"{each.roc_auc:.3f}", f"{each.balanced_accuracy:.3f}", f"{0.0 - each.fall:+.1f}")
        for change, each in report.robustness.items()
    )
    return CHANGES.format(rows=rows, worst=report.worst_change)


def _slices(report: Report) -> str:
    shown = ("roc_auc", "sensitivity", "specificity")
    rows = _rows(
        (
            each.by,
            each.name + ("" if each.enough else " (too few for a verdict)"),
            f"{each.images} ({each.yes} YES)",
            *(str(each.figures[name]) for name in shown),
        )
        for each in report.slices
    )
    worst = report.worst_slice
    verdict = (
        f"The worst of those large enough is **{worst.by}: {worst.name}**, balanced accuracy "
        f"{worst.figures['balanced_accuracy']}."
        if worst
        else "None is large enough for a verdict."
    )
    return SLICES.format(rows=rows, verdict=verdict)


def _mistakes(report: Report) -> str:
    listed = "\n".join(
        f"- `{each.name}` is labelled {'YES' if each.label else 'NO'}, mean p(YES) {each.probability:.2f}"
        for each in report.mistakes[:LISTED]
    )
    return MISTAKES.format(count=len(report.mistakes), listed=listed or "- none")


def _refusal(report: Report) -> str:
    refusal = report.refusal
    rows = _rows((kind, f"{share:.1%}") for kind, share in refusal.refused.items())
    return REFUSAL.format(
        rows=rows,
        scans=refusal.scans,
        pictures=refusal.pictures,
        wrongly=refusal.wrongly_refused,
        rightly=refusal.rightly_refused,
        threshold=refusal.threshold,
    )


def _decision(metadata: Metadata) -> str:
    recipe = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in metadata["recipe"].items())
    return DECISION.format(
        architecture=metadata["architecture"],
        recipe=recipe,
        threshold=metadata["threshold"],
        **metadata["calibration"],
        **metadata["mlflow"],
    )


def _cells(figure: Measured) -> tuple[str, str]:
    return f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}"


def _rows(cells: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
