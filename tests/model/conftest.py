from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest

from model import data, phantom, predictions, registry, tracking
from model.crossval import cross_validate
from model.evaluate import compare, figures, majority_accuracy
from model.finish import straddling
from model.recipe import QUICK, Recipe
from model.refusal import Refusal
from model.report import FOREST, Changed, Report
from model.robustness import AS_IT_IS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from model.baselines import Baseline
    from model.crossval import Fit, Logits, OutOfFold
    from model.data import Dataset, Scan
    from model.judge import Judgement
    from model.registry import Champion
    from model.train import TrainingResult

PHANTOMS = 48
TINY = replace(
    QUICK,
    architectures=("plain_cnn", "efficientnet_lite0"),
    folds=3,
    epochs=3,
    views=1,
    size=32,
    transfer_size=64,
    per_kind=6,
)


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The default MLflow store, moved away from the tree; no test sees another store or the user's data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path_factory.mktemp("mlruns")
        patch.setattr(tracking, "STORE", folder)
        yield folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    phantom.write_folder(folder, count=PHANTOMS, seed=1)
    return data.load(folder)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """Measures as the thorough recipe does, on very little."""
    return TINY


@pytest.fixture(scope="session")
def trained(phantoms: Dataset, tiny: Recipe) -> TrainingResult:
    """A network of either kind really trained, in a hurry, on a few phantoms."""
    from model.train import train  # noqa: PLC0415 - only who needs a training waits for TensorFlow

    return train(phantoms, tiny, say=lambda _: None)


@pytest.fixture(scope="session")
def champion(trained: TrainingResult) -> Champion:
    return registry.crown(trained)


@pytest.fixture(scope="session")
def ask() -> Callable[[Baseline], Callable[[Fit], Logits]]:
    """Makes of a baseline what a cross-validation runs."""

    def of(baseline: Baseline) -> Callable[[Fit], Logits]:
        return lambda fit: {AS_IT_IS: baseline.scores(fit.training, fit.cases, fit.seed)}

    return of


@pytest.fixture(scope="session")
def report_of() -> Callable[..., Report]:
    """Makes the report of a cross-validation; what was not measured in it, of a network without fault."""

    def make(said: OutOfFold, forest: OutOfFold) -> Report:
        judged, beside = said.judged(), forest.judged()
        measured = figures(judged)
        return Report(
            figures=measured,
            rivals={"efficientnet_lite0": measured},
            baselines={FOREST: figures(beside)},
            over_forest=compare(judged, beside, "roc_auc"),
            naive=measured,
            robustness={
                AS_IT_IS: Changed(
                    measured["roc_auc"].value, measured["youden_balanced_accuracy"].value, fall=0.0
                )
            },
            slices=[],
            mistakes=[],
            refusal=Refusal(faultless_head(), 0.5, len(judged[0].cases), 100, 0.0, {"page": 1.0}),
            training_auc=said.training_auc,
            straddling=straddling(said.splits),
            majority_accuracy=majority_accuracy(said.splits[0]),
        )

    return make


def faultless_head():  # type: ignore[no-untyped-def]
    from model.network import Head  # noqa: PLC0415 - TensorFlow

    return Head(np.zeros(1), 0.0)


@pytest.fixture(scope="session")
def enter() -> Callable[..., TrainingResult]:
    """Logs what the registry asks of a training: figures, predictions, and a model that says nothing."""

    def log(
        name: str,
        judged: Sequence[Judgement],
        scans: Sequence[Scan],
        metrics: dict[str, float],
        *,
        fingerprint: str = "f" * 64,
    ) -> TrainingResult:
        from model.train import TrainingResult  # noqa: PLC0415 - TensorFlow

        tracking.connect()
        tracking.choose_experiment(name)
        metadata = {
            "architecture": "plain_cnn",
            "metrics": metrics,
            "dataset": {"kind": "phantom", "fingerprint": fingerprint},
        }
        with tracking.run("training") as run_id:
            mlflow.log_dict(metadata, "serving/metadata.json")
            mlflow.log_text(predictions.write(judged, scans), predictions.FILE)
            mlflow.log_dict({"run_id": run_id, "flavors": {}}, "network/MLmodel")
        measured = figures(judged)
        return TrainingResult(
            name, run_id, "plain_cnn", f"runs:/{run_id}/network", measured, {"plain_cnn": measured}, {}
        )

    return log


@pytest.fixture(scope="session")
def real() -> Dataset:
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        pytest.skip("TUMOR_DATA names no folder of real images")
    return data.load(Path(folder))
