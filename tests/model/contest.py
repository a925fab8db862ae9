"""What gates and registry ask of a training, made of any cross-validation in no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import numpy as np

from model import predictions, tracking
from model.evaluate import compare, figures, majority_accuracy
from model.finish import straddling
from model.network import Head
from model.refusal import Refusal
from model.report import FOREST, Changed, Report
from model.robustness import AS_IT_IS
from model.train import TrainingResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.baselines import Baseline
    from model.crossval import Fit, Logits, OutOfFold
    from model.data import Scan
    from model.judge import Judgement

ARCHITECTURE = "efficientnet_lite0"


def asking(baseline: Baseline) -> Callable[[Fit], Logits]:
    """Make of a baseline what a cross-validation runs."""
    return lambda fit: {AS_IT_IS: baseline.scores(fit.training, fit.cases, fit.seed)}


def report_of(said: OutOfFold, forest: OutOfFold) -> Report:
    """Report on a cross-validation; what it did not measure is reported of a network without fault."""
    judged, beside = said.judged(), forest.judged()
    measured = figures(judged)
    accuracy = measured["youden_balanced_accuracy"].value
    return Report(
        figures=measured,
        rivals={ARCHITECTURE: measured},
        baselines={FOREST: figures(beside)},
        over_forest=compare(judged, beside, "roc_auc"),
        naive=measured,
        robustness={AS_IT_IS: Changed(measured["roc_auc"].value, accuracy, fall=0.0)},
        slices=[],
        mistakes=[],
        refusal=Refusal(Head(np.zeros(1), 0.0), 0.5, len(judged[0].cases), 100, 0.0, {"page": 1.0}),
        training_auc=said.training_auc,
        straddling=straddling(said.splits, said.splits[0].groups),
        majority_accuracy=majority_accuracy(said.splits[0]),
    )


def entered(
    name: str,
    judged: Sequence[Judgement],
    scans: Sequence[Scan],
    metrics: dict[str, float],
    *,
    fingerprint: str = "f" * 64,
) -> TrainingResult:
    """Log what the registry asks of a training: figures, predictions, and a model that says nothing."""
    tracking.connect()
    tracking.choose_experiment(name)
    dataset = {"kind": "phantom", "fingerprint": fingerprint}
    metadata = {"architecture": ARCHITECTURE, "metrics": metrics, "dataset": dataset}
    with tracking.run("training") as run_id:
        mlflow.log_dict(metadata, "serving/metadata.json")
        mlflow.log_text(predictions.write(judged, scans), predictions.FILE)
        mlflow.log_dict({"run_id": run_id, "flavors": {}}, "network/MLmodel")
    measured = figures(judged)
    network = f"runs:/{run_id}/network"
    return TrainingResult(name, run_id, ARCHITECTURE, network, measured, {ARCHITECTURE: measured}, {})
