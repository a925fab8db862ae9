"""What a training leaves in MLflow of one architecture, in the run that is open."""

from __future__ import annotations

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

from . import card, plots, predictions, serving
from .data import ROOT
from .evaluate import flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .backend import keras
    from .data import Dataset, Scan
    from .evaluate import Figures
    from .judge import Judgement
    from .metadata import Metadata
    from .report import Report
    from .study import Study
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
    judged: Sequence[Judgement], measured: Figures, scans: Sequence[Scan], histories: Sequence[History]
) -> None:
    """Log one architecture's own figures, curves and predictions; `scans` are the cases' files."""
    mlflow.log_metrics(flat(measured))
    drawn = {"roc": plots.roc(judged, measured), "confusion_matrix": plots.confusion(judged)}
    if any(histories):
        drawn["loss"] = plots.losses(histories)
    for name, figure in drawn.items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    mlflow.log_text(predictions.write(judged, scans), predictions.FILE)


def claims(report: Report, judged: Sequence[Judgement], study: Study) -> None:
    """Log what is claimed of the network that serves, with all that it is compared with."""
    scans = study.dataset.scans
    mlflow.log_metrics(report.metrics())
    mlflow.log_dict(report.document(), "report.json")
    for name, figure in card.plots_of(report, judged).items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    # A picture of the images themselves: it stays here, and never travels with the artifact.
    mlflow.log_figure(plots.worst_mistakes(report.mistakes, scans), "images/worst_mistakes.png")
    mlflow.log_text(predictions.write(judged, scans), predictions.FILE)
    kept = [scan for scan, out in zip(scans, study.held_out, strict=True) if out]
    rows = [{"name": scan.name, "label": scan.label, "sha256": scan.sha256} for scan in kept]
    mlflow.log_text(json.dumps(rows, indent=1), "holdout.json")


def network(
    served: keras.Model,
    metadata: Metadata,
    report: Report,
    judged: Sequence[Judgement],
    *,
    pixels: NDArray[np.float32],
    scans: Sequence[Scan],
) -> str:
    """Log a network as it serves and as Keras keeps it, once both say the same.

    Parameters
    ----------
    pixels
        The images on which both are compared, (n, size, size, 1).
    scans
        Their files.

    Returns
    -------
    The URI of the logged Keras model.

    Raises
    ------
    ParityError
        When the converted network says something else.
    """
    said = serving.ask(served, pixels)
    with tempfile.TemporaryDirectory() as scratch:
        folder, parity = Path(scratch) / "serving", Path(scratch) / "parity"
        written = card.write(metadata, report, judged)
        serving.write(folder, network=served, metadata=metadata, card=written)
        serving.write_validation(parity, pixels=pixels, said=said)
        difference = serving.check_parity(folder, validation=parity)
        mlflow.log_artifacts(scratch)
    mlflow.log_metric("parity_largest_difference", difference)
    heatmaps(said, pixels, scans)
    return _keras_model(served, metrics=metadata["metrics"])


def heatmaps(said: serving.Said, pixels: NDArray[np.float32], scans: Sequence[Scan]) -> None:
    """Log a grid of tumour images with the served network's evidence over them, for people to judge."""
    tumours = [place for place, scan in enumerate(scans) if scan.label]
    chosen = tumours[:: max(1, len(tumours) // plots.HEATMAPS)][: plots.HEATMAPS]
    names = [scans[place].name for place in chosen]
    figure = plots.heatmaps(pixels[chosen], said.evidence[chosen], names)
    mlflow.log_figure(figure, "images/heatmaps.png")


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
