"""The MLflow Model Registry: which trained network is the champion. Importing this imports no TensorFlow."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import mlflow
from mlflow.exceptions import MlflowException

from . import gates, predictions, tracking
from .data import MODEL_NAME
from .evaluate import Difference, compare

if TYPE_CHECKING:
    from .gates import Outcome
    from .judge import Judgement
    from .train import TrainingResult

CHAMPION = "champion"
"""The alias; MLflow's stages are deprecated."""


class RegistryError(Exception):
    """The registry does not have what is asked for; the text says how to get it there."""


GATES, FORCED = "gates", "forced"
"""Tags of a version: its gates' verdicts, and why it was crowned against them."""


class Rival(TypedDict):
    """What a challenger is compared with; see `gates.evaluate`."""

    comparable: bool
    over_champion: Difference | None
    rival: str


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

    def judged(self) -> list[Judgement]:
        """What was said of each image out of fold, repeat by repeat."""
        return predictions.read(mlflow.artifacts.load_text(f"runs:/{self.run_id}/{predictions.FILE}"))

    def gates(self) -> list[Outcome]:
        """Verdicts of the quality gates, as they were when this version was registered.

        Raises
        ------
        RegistryError
            When there are none: a training of an earlier form registered it.
        """
        version = mlflow.MlflowClient().get_model_version(self.name, self.version)
        if GATES not in version.tags:
            raise RegistryError(
                f"{self.name} version {self.version} was registered before gates were recorded with it. "
                "Run scripts/train again."
            )
        outcomes: list[Outcome] = json.loads(version.tags[GATES])
        return outcomes


def crown(result: TrainingResult) -> Champion:
    """Register the training's network as a new version, judge it, and return the champion that there is then.

    A version that passes the gates takes the crown. One that fails a gate takes it only where nothing better
    is lost: there is no champion, or the champion failed gates too and was trained on other images or is no
    better.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # MLflow prints there what the caller says better
        tags = {"architecture": result.architecture, "roc_auc": str(result.figures["roc_auc"])}
        version = mlflow.register_model(result.model_uri, result.experiment, tags=tags).version
    challenger = champion(result.experiment, version=str(version))
    present = _present(result.experiment)
    outcomes = gates.evaluate(challenger.metrics, **_rival(challenger, present))
    client = mlflow.MlflowClient()
    client.set_model_version_tag(result.experiment, version, GATES, json.dumps(outcomes))
    client.log_dict(result.run_id, {"gates": outcomes}, "gates.json")
    if present and not passed(outcomes) and _worthier(present, challenger):
        return present
    client.set_registered_model_alias(result.experiment, CHAMPION, version)
    return challenger


def passed(outcomes: list[Outcome]) -> bool:
    """Whether every gate was passed."""
    return all(outcome["passed"] for outcome in outcomes)


def force(chosen: Champion, *, reason: str) -> None:
    """Crown a version that failed gates, and record why in the registry and in its run."""
    client = mlflow.MlflowClient()
    client.set_model_version_tag(chosen.name, chosen.version, FORCED, reason)
    client.set_tag(chosen.run_id, FORCED, reason)
    client.set_registered_model_alias(chosen.name, CHAMPION, chosen.version)


def _present(name: str) -> Champion | None:
    """Look up the champion; none where there is none yet, or one of an earlier form that was never judged."""
    try:
        present = champion(name)
        present.gates()
    except RegistryError:
        return None
    return present


def _rival(challenger: Champion, present: Champion | None) -> Rival:
    """Pair a challenger with the present champion, on the repeats that judged both by the same folds."""
    if present is None:
        return {"comparable": True, "over_champion": None, "rival": "there is no champion yet"}
    named = f"version {present.version}"
    if present.dataset_fingerprint != challenger.dataset_fingerprint:
        reason = f"{named} was judged on other images: they cannot be compared"
        return {"comparable": True, "over_champion": None, "rival": reason}
    mine, theirs = predictions.paired(challenger.judged(), present.judged())
    if not mine:
        reason = f"{named} was judged on the same images by other folds: train with its seed and folds"
        return {"comparable": False, "over_champion": None, "rival": reason}
    return {"comparable": True, "over_champion": compare(mine, theirs, "roc_auc"), "rival": named}


def _worthier(present: Champion, challenger: Champion) -> bool:
    if passed(present.gates()):
        return True
    same_images = present.dataset_fingerprint == challenger.dataset_fingerprint
    return same_images and present.metrics["roc_auc"] > challenger.metrics["roc_auc"]


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
