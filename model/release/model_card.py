"""The model card that is packed with a network: text, numbers and plots, but no image of the data set."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from model.evaluation import plots
from model.evaluation.left_out import PUBLISHED, TUMOUR_FREE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from model.evaluation.predictions import Predictions
    from model.evaluation.report import Report
    from model.release.export import Metadata

TITLES = {
    "roc_auc": "ROC AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "brier_score": "Brier score (lower is better)",
    "calibration_error": "Expected calibration error (lower is better)",
}
LISTED = 20
"""Mistakes named in the card."""


def write(metadata: Metadata, report: Report, predictions: Predictions) -> str:
    """Return the card of one trained network as Markdown with inline PNG plots.

    Parameters
    ----------
    predictions
        The predictions that the report's estimates are of.
    """
    compared = {f"`{metadata['architecture']}`": report.estimates, "metadata-only forest": report.forest}
    return render(
        "model_card.md.jinja",
        metadata=metadata,
        report=report,
        titles=TITLES,
        published=PUBLISHED,
        tumour_free=TUMOUR_FREE,
        compared=compared,
        mistakes=report.mistakes[:LISTED],
        plots={name: _inline(name, figure) for name, figure in plots_of(report, predictions).items()},
    )


def render(template: str, **values: object) -> str:
    """Render one of the Markdown templates beside this module."""
    environment = Environment(
        autoescape=False,  # noqa: S701 - Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**values)


def plots_of(report: Report, predictions: Predictions) -> dict[str, Figure]:
    """Return the card's plots, none of which shows a single image."""
    return {"roc": plots.roc(predictions, report.estimates), "calibration": plots.calibration(predictions)}


def png(figure: Figure) -> bytes:
    """Draw a plot; the same one has the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _inline(name: str, figure: Figure) -> str:
    """Embed a plot in the Markdown, so that the card is one file."""
    encoded = base64.b64encode(png(figure)).decode()
    return f"![{plots.TITLES[name]}](data:image/png;base64,{encoded})"
