"""Make a registered model an environment's release: artifact first, record last, never half of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from container.predictor import Predictor
from infra import names, release
from infra.release import Dataset, Gate, Golden, MlflowRun, Model, Release
from model import golden, registry
from model.export import export, unpack
from scripts.delivery import artifacts
from scripts.delivery.aws import stack_outputs
from scripts.delivery.console import DeliveryError, say

if TYPE_CHECKING:
    from infra.config import Settings
    from model.export import Artifact
    from model.registry import Champion


def promote(settings: Settings, champion: Champion, *, record: Path, forced: str | None = None) -> None:
    """Export the champion, upload its artifact, and write its release record.

    Whatever interrupts this leaves the old release or the new one: the artifact's key is its hash, the card's
    name carries it too, and the record that names both is replaced in one step at the very end.

    Parameters
    ----------
    settings
        The environment; its AWS must have been reached and its registry stack deployed.
    champion
        The registered model version to release.
    record
        Where the release record is written.
    forced
        Why a gate that fails is no reason to stop; recorded in the registry, the release and `/health`.

    Raises
    ------
    DeliveryError
        If a quality gate refuses the model here, or the environment has no model bucket yet.
    ExportError
        If the exported network does not say what the trained one says.
    """
    outcomes = [Gate(**gate) for gate in champion.gates()]
    overridden = _refuse(settings, champion, outcomes, forced=forced)
    bucket = stack_outputs(names.registry_stack(settings.environment))["BucketName"]
    with tempfile.TemporaryDirectory() as folder:
        artifact = export(champion, to=Path(folder))
        kept = artifacts.keep(artifact.path, sha256=artifact.sha256)
        artifacts.ensure_uploaded(bucket, sha256=artifact.sha256)
        predictor = Predictor.load(unpack(kept, to=Path(folder) / "served"))
        answers = [Golden(**answer) for answer in golden.golden_answers(predictor)]
    promoted = _describe(settings, champion, artifact, outcomes, answers, forced=overridden)
    if overridden:
        registry.force(champion, reason=overridden)
    if _is_released(promoted, record=record):
        say(f"  {champion.name} version {champion.version} is already the release of {settings.environment}")
        return
    release.replace(record, promoted, card=artifact.card)
    say(f"  {record}: {champion.name} version {champion.version}, artifact {artifact.sha256[:12]}")


def _is_released(promoted: Release, *, record: Path) -> bool:
    try:
        return release.load(record) == promoted
    except release.ReleaseError:  # there is none yet, or it is broken: either way this one is new
        return False


def _refuse(
    settings: Settings, champion: Champion, outcomes: list[Gate], *, forced: str | None
) -> str | None:
    """Show every gate; outside the laptop each of them, and drawn training data, is a reason to stop.

    Returns
    -------
    The reason why failed gates were overridden, where they were.
    """
    for gate in outcomes:
        say(f"  {'✓' if gate.passed else '✗'} gate {gate.name}: {gate.detail}")
    failed = [gate.name for gate in outcomes if not gate.passed]
    if champion.dataset_kind == "phantom" and not settings.local:
        raise DeliveryError(
            f"{champion.name} was trained on drawn phantoms and may be promoted to a laptop only."
        )
    if not failed:
        return None
    if forced:
        say(f"  promoted all the same: {forced}")
        return forced
    if not settings.local:
        raise DeliveryError(
            f"{champion.name} version {champion.version} failed the gates {', '.join(failed)}. Train a "
            "better one, or promote it all the same with --force REASON, which is recorded."
        )
    say("  the laptop promotes it all the same, and says so on the page and in /health")
    return None


def _describe(
    settings: Settings,
    champion: Champion,
    artifact: Artifact,
    outcomes: list[Gate],
    answers: list[Golden],
    *,
    forced: str | None,
) -> Release:
    metadata = artifact.metadata
    dataset = metadata["dataset"]
    return Release(
        environment=settings.environment,
        model=Model(
            name=champion.name, version=champion.version, sha256=artifact.sha256, bytes=artifact.size
        ),
        dataset=Dataset(name=dataset["name"], kind=dataset["kind"], fingerprint=dataset["fingerprint"]),
        mlflow=MlflowRun(**metadata["mlflow"]),
        metrics=metadata["metrics"],
        threshold=metadata["threshold"],
        gates=tuple(outcomes),
        golden=tuple(answers),
        forced=forced,
    )
