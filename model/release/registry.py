"""The MLflow Model Registry: versions and the champion. Importing this module imports no TensorFlow."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from model import tracking
from model.data.dataset import MODEL_NAME
from model.evaluation import predictions
from model.evaluation.comparison import Scored
from model.evaluation.metrics import Difference, differences
from model.release import gates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.release.gates import Outcome

CHAMPION = "champion"
"""The alias; MLflow's stages are deprecated."""
GATES, FORCED, SHADOW = "gates", "forced", "shadow"
"""Tags of a version: its gates' results, why it became champion although it failed some, and its comparison
as a shadow."""


class RegistryError(Exception):
    """The registry cannot be read, or lacks a version; the message says what to do."""


class NoSuchVersionError(RegistryError):
    """There is no such version or no champion, or its serving files cannot be read."""


class HeldOut(TypedDict):
    """An image on which the network was not trained."""

    name: str
    label: int
    sha256: str


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: str
    run_id: str
    architecture: str
    metrics: dict[str, float]
    dataset_kind: str
    dataset_name: str
    dataset_fingerprint: str
    sources: tuple[str, ...] = ()  # names, which begin its images' names if there are several

    def holdout(self) -> list[HeldOut]:
        """Images on which the network was not trained."""
        held_out: list[HeldOut] = json.loads(mlflow.artifacts.load_text(f"runs:/{self.run_id}/holdout.json"))
        return held_out

    def scored(self) -> Scored:
        """Out-of-fold predictions, with the images' names, hashes and sources."""
        text = mlflow.artifacts.load_text(f"runs:/{self.run_id}/{predictions.FILE}")
        tested, names, hashes = predictions.read_csv(text)
        several = self.sources if len(self.sources) > 1 else ()
        longest_first = sorted(several, key=len, reverse=True)
        sources = [
            next((each for each in longest_first if name.startswith(f"{each}/")), self.dataset_name)
            for name in names
        ]
        return Scored(tested, names, hashes, sources)

    def gates(self) -> list[Outcome]:
        """Results of the quality gates at the time of registration, which early releases did not record."""
        version = mlflow.MlflowClient().get_model_version(self.name, self.version)
        if GATES not in version.tags:
            raise RegistryError(
                f"{self.name} version {self.version} was registered before gates were recorded with it. "
                "Run scripts/train again."
            )
        outcomes: list[Outcome] = json.loads(version.tags[GATES])
        return outcomes

    def shadow_comparison(self) -> dict[str, Any] | None:
        """Last comparison as a shadow, which `record_shadow` recorded, if there is one."""
        tags = mlflow.MlflowClient().get_model_version(self.name, self.version).tags
        compared: dict[str, Any] | None = json.loads(tags.get(SHADOW, "null"))
        return compared


def register_and_promote(name: str, *, run_id: str, model_uri: str, challenges: bool = False) -> ModelVersion:
    """Register a training's network, evaluate its gates, and return the resulting champion.

    A version that passes the gates becomes champion. One that fails a gate does so only if there is no
    champion, or the champion failed gates too and was trained on other images or is no better. One that only
    `challenges` leaves the champion as it is.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # MLflow's notices, which repeat the caller's output
        version = mlflow.register_model(model_uri, name).version
    challenger = find_version(name, version=str(version))
    client = mlflow.MlflowClient()
    client.set_model_version_tag(name, version, "architecture", challenger.architecture)
    client.set_model_version_tag(name, version, "roc_auc", f"{challenger.metrics['roc_auc']:.3f}")
    champion = _champion_or_none(name)
    comparable, over_champion, rival = _compare(challenger, champion)
    outcomes = gates.evaluate(
        challenger.metrics,
        comparable=comparable,
        over_champion=over_champion,
        rival=rival,
        dataset=challenger.dataset_name,
    )
    client.set_model_version_tag(name, version, GATES, json.dumps(outcomes))
    client.log_dict(run_id, {"gates": outcomes}, "gates.json")
    if champion and (challenges or (not passed(outcomes) and _stays(champion, challenger))):
        return champion
    client.set_registered_model_alias(name, CHAMPION, version)
    return challenger


def record_shadow(version: ModelVersion, compared: Mapping[str, object]) -> None:
    """Record with a version how it compared, as a shadow, with what served."""
    mlflow.MlflowClient().set_model_version_tag(version.name, version.version, SHADOW, json.dumps(compared))


def passed(outcomes: list[Outcome]) -> bool:
    """Return whether every gate was passed."""
    return all(outcome["passed"] for outcome in outcomes)


def force(chosen: ModelVersion, *, reason: str) -> None:
    """Make a version that failed gates the champion, and record the reason with the version and its run."""
    client = mlflow.MlflowClient()
    client.set_model_version_tag(chosen.name, chosen.version, FORCED, reason)
    client.set_tag(chosen.run_id, FORCED, reason)
    make_champion(chosen)


def make_champion(chosen: ModelVersion) -> None:
    """Make a version the champion."""
    mlflow.MlflowClient().set_registered_model_alias(chosen.name, CHAMPION, chosen.version)


def newest(name: str) -> int:
    """Return the number of the newest version of a registered model; 0 where there is none."""
    tracking.connect()
    return max(
        (int(each.version) for each in mlflow.MlflowClient().search_model_versions(f"name='{name}'")),
        default=0,
    )


def find_version(name: str = MODEL_NAME, *, version: str | None = None) -> ModelVersion:
    """Find a version of a registered model, by default its champion.

    Raises
    ------
    NoSuchVersionError
        When there is none, or its serving files cannot be read.
    """
    tracking.connect()
    client = mlflow.MlflowClient()
    wanted = f"version {version}" if version else "champion"
    try:
        if version is None:
            found = client.get_model_version_by_alias(name, CHAMPION)
        else:
            found = client.get_model_version(name, version)
    except MlflowException as error:
        # MLflow answers an alias that does not exist with INVALID_PARAMETER_VALUE.
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST) or "not found" in str(error):
            raise NoSuchVersionError(
                f"the registry has no {wanted} of {name}. Run scripts/train first."
            ) from error
        raise RegistryError(f"the registry failed to look up the {wanted} of {name}: {error}") from error
    try:
        metadata = mlflow.artifacts.load_dict(f"runs:/{found.run_id}/serving/metadata.json")
    except (MlflowException, OSError) as error:
        raise NoSuchVersionError(
            f"{name} version {found.version}: the serving files of run {found.run_id} cannot be read: "
            f"{error}. If they are lost, run scripts/train."
        ) from error
    return ModelVersion(
        name=name,
        version=str(found.version),
        run_id=str(found.run_id),
        architecture=metadata["architecture"],
        metrics=metadata["metrics"],
        dataset_kind=metadata["dataset"]["kind"],
        dataset_name=metadata["dataset"]["name"],
        dataset_fingerprint=metadata["dataset"]["fingerprint"],
        sources=tuple(each["name"] for each in metadata["dataset"].get("sources", ())),
    )


def trained_on(name: str, *, fingerprint: str) -> ModelVersion | None:
    """Return the champion if it was trained on exactly these images, else the newest version that was."""
    tracking.connect()
    found = mlflow.MlflowClient().search_model_versions(f"name='{name}'")
    newest_first = sorted((int(version.version) for version in found), reverse=True)
    for number in [None, *newest_first]:
        with contextlib.suppress(NoSuchVersionError):
            version = find_version(name, version=None if number is None else str(number))
            if version.dataset_fingerprint == fingerprint:
                return version
    return None


def _champion_or_none(name: str) -> ModelVersion | None:
    """Find the champion; None if there is none, or if its gates were never evaluated."""
    try:
        champion = find_version(name)
    except NoSuchVersionError:
        return None
    version = mlflow.MlflowClient().get_model_version(name, champion.version)
    return champion if GATES in version.tags else None


def _compare(challenger: ModelVersion, champion: ModelVersion | None) -> tuple[bool, Difference | None, str]:
    """Compare if both were tested with the same folds; see `gates.evaluate`."""
    if champion is None:
        return True, None, "there is no champion yet"
    named = f"version {champion.version}"
    if champion.dataset_fingerprint != challenger.dataset_fingerprint:
        return True, None, f"{named} was tested on other images: they cannot be compared"
    mine, theirs = challenger.scored().predictions, champion.scored().predictions
    if not predictions.paired(mine, theirs):
        named += " was tested on the same images with other folds: train with its seed and folds"
        return False, None, named
    return True, differences(mine, theirs)["roc_auc"], named


def _stays(champion: ModelVersion, challenger: ModelVersion) -> bool:
    if passed(champion.gates()):
        return True
    same_images = champion.dataset_fingerprint == challenger.dataset_fingerprint
    return same_images and champion.metrics["roc_auc"] > challenger.metrics["roc_auc"]
