"""A report as text for people, and as a run in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import numpy as np
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from model import tracking
from model.evaluation.plots import DPI, FIRST, SECOND
from scripts.delivery.aws import AWS_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.monitoring.drift import Histograms
    from scripts.monitoring.monitor import Model, Report

STORE_ERRORS = (MlflowException, SQLAlchemyError, tracking.TrackingError, OSError, *AWS_ERRORS)
"""Of a store that is away, whether a server, a database, a folder or a bucket."""

_IDS = 10  # that a table names; JSON has all


def table(report: Report) -> str:
    """Return the report's tables, one for each model."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.answers} answers since {report.since:%Y-%m-%d %H:%M} UTC in {report.source}"
    yield f"{report.refused} images refused, by the gateway's metrics"
    for each in report.models:
        yield f"\nmodel {each.sha256[:12]}: {each.answers} answers: {each.verdict}"
        if each.reason:
            yield f"  {each.reason}"
        yield from _shift_lines(each)
        yield from _accuracy_lines(each)
    for line in report.unusable:
        yield f"not used: {line}"


def _shift_lines(model: Model) -> Iterator[str]:
    if model.shifts:
        yield f"  {'statistic':<12} {'index':>6} {'by chance':>9} {'KS p':>7}"
    for each in model.shifts:
        p_value = "" if each.p_value is None else f"{each.p_value:.1g}"
        verdict = f"drift: {each.direction} than in training" if each.verdict == "drift" else each.verdict
        yield f"  {each.statistic:<12} {each.index:>6.3f} {each.by_chance:>9.3f} {p_value:>7}  {verdict}"
    if model.verdict == "too few":
        needed = [each.enough for each in model.shifts]
        if None in needed:
            yield "  too few training images in the reference: no number of answers would do"
        else:
            yield f"  {max(each for each in needed if each)} answers would do"


def _accuracy_lines(model: Model) -> Iterator[str]:
    found = model.accuracy
    if not found:
        return
    yield f"  {found.labelled} labelled answers"
    for name in ("sensitivity", "specificity", "calibration_error"):
        if estimate := getattr(found, name):
            yield f"    {name.replace('_', ' ')} {estimate}"
    for what, ids in (("answered otherwise", found.wrong), ("labelled differently by two", found.disputed)):
        if ids:
            yield f"    {len(ids)} {what}: {', '.join(ids[:_IDS])}{' ...' if len(ids) > _IDS else ''}"


def log_run(report: Report) -> None:
    """Log the report to MLflow with a plot of each model."""
    tracking.connect()
    tracking.choose_experiment(f"monitor-{report.environment}")
    with tracking.run(f"since {report.since:%Y-%m-%d}"):
        mlflow.log_params({"source": report.source, "since": report.since.isoformat()})
        mlflow.set_tag("verdict", report.verdict)
        mlflow.log_metrics({"answers": report.answers, "refused": report.refused})
        mlflow.log_dict(report.document(), "report.json")
        for model in report.models:
            mlflow.log_metrics({f"{each.statistic}.{model.sha256[:12]}": each.index for each in model.shifts})
            if model.histograms:
                mlflow.log_figure(plot(model.histograms), f"plots/{model.sha256[:12]}.png")


def plot(histograms: Histograms) -> Figure:
    """Draw each statistic's shares by bin, in training and live."""
    reference, live = histograms.reference, histograms.counts
    figure = Figure(figsize=(12, 6), dpi=DPI, layout="constrained")
    for axes, name in zip(figure.subplots(2, 4).flat, live, strict=False):
        for counts, colour, label in (
            (reference.counts[name], FIRST, "training"),
            (live[name], SECOND, "live"),
        ):
            axes.stairs(counts / max(1, counts.sum()), color=colour, label=label)
        if name in reference.words:
            words = (*reference.words[name], "other")
            axes.set_xticks(np.arange(len(words)) + 0.5, words)
        else:
            edges = reference.edges[name]
            axes.set_xticks(range(1, len(edges) + 1, 6), [f"{edge:.3g}" for edge in edges[::6]])
        axes.set(title=name.replace("_", " "), ylim=(0, None))
    figure.axes[0].legend(frameon=False)
    figure.supylabel("share of images")
    return figure
