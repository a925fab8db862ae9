"""What a training leaves in MLflow of one architecture, in the run that is open."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from container.network import known_question

from . import card, plots, serving
from .data import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .backend import keras
    from .data import Dataset, Scan
    from .evaluate import Evaluation, Floats
    from .fit import Examples
    from .metadata import Metadata
    from .tracking import History


def source(dataset: Dataset) -> None:
    """Log what made this run: the data set as MLflow's own input, and the code's git revision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of MLflow's sources know local folders, and either will do
        origin = resolve_dataset_source(str(dataset.folder))
    digest = dataset.fingerprint[:32]  # MLflow takes at most 36 characters; the whole one is a tag
    described = MetaDataset(origin, name=dataset.name, digest=digest)  # type: ignore[abstract]  # it is not
    mlflow.log_input(described, context="training")
    tags = {"dataset_kind": dataset.kind, "dataset_fingerprint": dataset.fingerprint}
    mlflow.set_tags(tags | _git_revision())


def evaluation(
    measured: Evaluation, logits: Floats, scans: Sequence[Scan], histories: Sequence[History]
) -> None:
    """Log the drawn evidence and each image's own prediction; `scans` are the judged cases' files."""
    judged = measured.judged
    for name, figure in {
        "loss": plots.losses(histories),
        "roc": plots.roc(judged, measured.figures),
        "confusion_matrix": plots.confusion(judged),
        "calibration": plots.calibration(judged),
        "worst_mistakes": plots.worst_mistakes(judged, scans),
    }.items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    columns = {
        "name": [scan.name for scan in scans],
        "label": judged.cases.labels,
        "group": judged.cases.groups,
        "fold": judged.cases.folds,
        "logit": logits,
        "probability": judged.probabilities,
        "said": judged.decisions,
    }
    table = io.StringIO()
    csv.writer(table).writerows([columns, *zip(*columns.values(), strict=True)])
    mlflow.log_text(table.getvalue(), "predictions.csv")


def holdout(scans: Sequence[Scan]) -> None:
    """Log which images no training has seen."""
    rows = [{"name": scan.name, "label": scan.label, "sha256": scan.sha256} for scan in scans]
    mlflow.log_text(json.dumps(rows, indent=1), "holdout.json")


def network(trained: keras.Model, metadata: Metadata, examples: Examples, logits: Floats) -> str:
    """Log a network as it serves and as Keras keeps it, once both say the same.

    Parameters
    ----------
    logits
        What Keras says of the examples, shape (n,).

    Returns
    -------
    The URI of the logged Keras model.

    Raises
    ------
    ParityError
        When the converted network says something else.
    """
    with tempfile.TemporaryDirectory() as scratch:
        served, parity = Path(scratch) / "serving", Path(scratch) / "parity"
        serving.write(served, network=trained, metadata=metadata, card=card.write(metadata))
        serving.write_validation(parity, pixels=examples.pixels, logits=logits)
        difference = serving.check_parity(served, validation=parity)
        mlflow.log_artifacts(scratch)
    mlflow.log_metric("parity_largest_difference", difference)
    return _keras_model(trained, metrics=metadata["metrics"])


def _keras_model(trained: keras.Model, *, metrics: dict[str, float]) -> str:
    """Log the Keras model with its signature and a drawn input example."""
    import mlflow.tensorflow  # noqa: PLC0415 - with it comes TensorFlow

    size, single = trained.input_shape[1], np.dtype(np.float32)
    outputs = [TensorSpec(single, (-1, *tensor.shape[1:]), tensor.name) for tensor in trained.outputs]
    logged = mlflow.tensorflow.log_model(
        trained,
        name="network",
        signature=ModelSignature(
            inputs=Schema([TensorSpec(single, (-1, size, size, 1))]), outputs=Schema([*outputs])
        ),
        input_example=known_question(size)[np.newaxis],
        # Named here: MLflow would find them out by running the model in a process of its own.
        pip_requirements=[f"{package}=={version(package)}" for package in ("tensorflow", "keras", "numpy")],
    )
    mlflow.log_metrics(metrics, model_id=logged.model_id)
    return str(logged.model_uri)


def _git_revision() -> dict[str, str]:
    """The commit as MLflow's own tag, "-dirty" where the tree differs; nothing outside a git checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {MLFLOW_GIT_COMMIT: commit + ("-dirty" if changed else "")}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
