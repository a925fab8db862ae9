"""The MLflow Model Registry: which trained network is the champion. Importing this imports no TensorFlow."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import mlflow
from mlflow.exceptions import MlflowException

from . import tracking

if TYPE_CHECKING:
    from .data import Dataset
    from .train import TrainingResult

MODEL_NAME = "tumor-detector"
CHAMPION = "champion"
"""The alias; MLflow's stages are deprecated."""


class RegistryError(Exception):
    """The registry does not have what is asked for; the text says how to get it there."""


class HeldOut(TypedDict):
    """An image that the champion's training never saw."""

    name: str
    label: int
    sha256: str


@dataclass(frozen=True)
class Champion:
    """One version of a registered model, with what its training found out."""

    name: str
    version: str
    run_id: str
    architecture: str
    metrics: dict[str, float]
    dataset_kind: str
    dataset_fingerprint: str

    def holdout(self) -> list[HeldOut]:
        """The images that were kept from its training, by their names in the data folder."""
        held_out: list[HeldOut] = json.loads(mlflow.artifacts.load_text(f"runs:/{self.run_id}/holdout.json"))
        return held_out


def model_name(dataset: Dataset) -> str:
    """Name of the registered model, and of the experiment, that this data trains."""
    return f"{MODEL_NAME}-phantom" if dataset.kind == "phantom" else MODEL_NAME


def crown(result: TrainingResult) -> Champion:
    """Register the training's best network as a new version, and return the champion that there is then.

    It is the new version, unless the champion before was trained on the same images and has the higher
    out-of-fold ROC AUC: a quick training does not take the crown from a thorough one.
    """
    best = result.best
    with contextlib.redirect_stderr(io.StringIO()):  # MLflow prints there what the caller says better
        tags = {"architecture": best.architecture, "roc_auc": str(best.figures["roc_auc"])}
        version = mlflow.register_model(best.model_uri, result.experiment, tags=tags).version
    candidate = champion(result.experiment, version=str(version))
    with contextlib.suppress(RegistryError):  # there is none yet
        present = champion(result.experiment)
        same_images = present.dataset_fingerprint == candidate.dataset_fingerprint
        if same_images and present.metrics["roc_auc"] > candidate.metrics["roc_auc"]:
            return present
    mlflow.MlflowClient().set_registered_model_alias(result.experiment, CHAMPION, version)
    return candidate


def champion(name: str = MODEL_NAME, *, version: str | None = None) -> Champion:
    """Look up the champion of a registered model, or another of its versions.

    Raises
    ------
    RegistryError
        When there is none, or its run has lost what a promotion needs.
    TrackingError
        When the MLflow store cannot be reached.
    """
    tracking.connect()
    client = mlflow.MlflowClient()
    try:
        if version is None:
            found = client.get_model_version_by_alias(name, CHAMPION)
        else:
            found = client.get_model_version(name, version)
    except MlflowException as error:
        wanted = f"version {version}" if version else "champion"
        raise RegistryError(f"the registry has no {wanted} of {name}. Run scripts/train first.") from error
    try:
        metadata = mlflow.artifacts.load_dict(f"runs:/{found.run_id}/serving/metadata.json")
    except MlflowException as error:
        raise RegistryError(
            f"{name} version {found.version}: run {found.run_id} has no files to serve. Run scripts/train."
        ) from error
    return Champion(
        name=name,
        version=str(found.version),
        run_id=str(found.run_id),
        architecture=metadata["architecture"],
        metrics=metadata["metrics"],
        dataset_kind=metadata["dataset"]["kind"],
        dataset_fingerprint=metadata["dataset"]["fingerprint"],
    )
