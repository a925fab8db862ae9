"""Logs a training to MLflow, in the open run."""

from __future__ import annotations

import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from container.network import known_input
from model.data.scan import FEEDBACK
from model.evaluation import plots
from model.evaluation.predictions import FILE, write_csv
from model.release import export, model_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.predictor import NetworkOutputs
    from model.arrays import Floats32
    from model.data.dataset import Dataset, Scan
    from model.evaluation.predictions import Predictions
    from model.evaluation.report import Report
    from model.networks.backend import keras
    from model.release.export import Metadata
    from model.training.plan import TrainingPlan


def log_source(dataset: Dataset) -> None:
    """Log the data set's folders as MLflow's inputs."""
    digest = dataset.fingerprint[:32]  # MLflow's limit is 36 characters; the full one is a tag
    several = len(dataset.folders) > 1
    inputs = [(each, each.name if several else dataset.name, "training") for each in dataset.folders]
    for folder, name, context in [*inputs, *((each, each.name, "outlines") for each in dataset.masks)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # several of MLflow's sources match a local folder; any will do
            origin = resolve_dataset_source(str(folder))
        described = MetaDataset(origin, name=name, digest=digest)  # type: ignore[abstract]
        mlflow.log_input(described, context=context)
    tags = {"dataset_kind": dataset.kind, "dataset_fingerprint": dataset.fingerprint}
    tags["dataset_sources"] = ", ".join(dataset.sources)
    mlflow.set_tags(tags)


def log_report(report: Report, predictions: Predictions, plan: TrainingPlan) -> None:
    """Log the published metrics, their plots, the predictions and the held-out images."""
    scans = plan.dataset.scans
    mlflow.log_metrics(report.metrics())
    mlflow.log_dict(report.document(), "report.json")
    for name, figure in model_card.plots_of(report, predictions).items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    # It shows images of the data set, so it is not part of the artifact.
    passing = {scan.name for scan in scans if scan.source == FEEDBACK}
    shown = [mistake for mistake in report.mistakes if mistake.name not in passing]
    mlflow.log_figure(plots.worst_mistakes(shown, scans), "images/worst_mistakes.png")
    mlflow.log_text(write_csv(predictions, scans), FILE)
    kept = [scan for scan, out in zip(scans, plan.held_out, strict=True) if out]
    rows = [{"name": scan.name, "label": scan.label, "sha256": scan.sha256} for scan in kept]
    mlflow.log_text(json.dumps(rows, indent=1), "holdout.json")


def log_network(
    served: keras.Model,
    metadata: Metadata,
    *,
    card: str,
    reference: dict[str, Any],
    pixels: Floats32,
    outputs: NetworkOutputs,
    scans: Sequence[Scan],
) -> str:
    """Log a network's serving files and its Keras model, and return the model's URI.

    Raises `ParityError` when their outputs differ on the scans, which `pixels` holds preprocessed,
    (n, size, size, 1), and of which `outputs` are the trained network's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder, parity = Path(scratch) / "serving", Path(scratch) / "parity"
        export.write(folder, network=served, metadata=metadata, card=card, reference=reference)
        export.write_validation(parity, pixels=pixels, outputs=outputs)
        difference = export.check_parity(folder, validation=parity)
        mlflow.log_artifacts(scratch)
    mlflow.log_metric("parity_largest_difference", difference)
    # A grid of tumour images overlaid with the network's evidence.
    tumours = [index for index, scan in enumerate(scans) if scan.label]
    chosen = tumours[:: max(1, len(tumours) // plots.HEATMAPS)][: plots.HEATMAPS]
    names = [scans[index].name for index in chosen]
    figure = plots.heatmaps(pixels[chosen], outputs.evidence[chosen], names)
    mlflow.log_figure(figure, "images/heatmaps.png")
    return _keras_model(served, metrics=metadata["metrics"])


def _keras_model(trained: keras.Model, *, metrics: dict[str, float]) -> str:
    """Log the Keras model with its signature and a synthetic input example."""
    import mlflow.tensorflow  # noqa: PLC0415 - with it comes TensorFlow

    size, single = trained.input_shape[1], np.dtype(np.float32)
    outputs = [TensorSpec(single, (-1, *tensor.shape[1:]), tensor.name) for tensor in trained.outputs]
    logged = mlflow.tensorflow.log_model(
        trained,
        name="network",
        signature=ModelSignature(
            inputs=Schema([TensorSpec(single, (-1, size, size, 1))]), outputs=Schema([*outputs])
        ),
        input_example=known_input(size)[np.newaxis],
        # Otherwise MLflow infers them by running the model in another process.
        pip_requirements=[f"{package}=={version(package)}" for package in ("tensorflow", "keras", "numpy")],
    )
    mlflow.log_metrics(metrics, model_id=logged.model_id)
    return str(logged.model_uri)
