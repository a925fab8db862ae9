"""Make a registered model an environment's release: upload the artifact first, write the record last."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from container.predictor import Predictor
from infra import names, release
from infra.release import Dataset, Gate, Golden, MlflowRun, Model, Release, record_path
from model.release import golden, registry
from model.release.export import export, unpack
from model.release.gates import SHADOW, shadowed
from scripts.console import DeliveryError, detail
from scripts.delivery import artifacts
from scripts.delivery.aws import stack_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.config import Settings
    from model.release.registry import ModelVersion


def promote(settings: Settings, version: ModelVersion, *, record: Path, forced: str | None = None) -> None:
    """Export a model version, upload its artifact, and write its release record.

    An interruption leaves the old release or the new one: the artifact's key and the card's name contain the
    hash, and the record that names both is replaced atomically at the end.

    `forced` is why the model is released although gates failed: for registry, release and `/health`.
    """
    gates = (*(Gate(**gate) for gate in version.gates()), *_shadow_gate(settings, version, record))
    overridden = _check_gates(settings, version, gates, forced=forced)
    bucket = stack_outputs(names.stack(settings.environment, "registry"))["BucketName"]
    with tempfile.TemporaryDirectory() as folder:
        artifact = export(version, to=Path(folder))
        kept = artifacts.keep(artifact.path, sha256=artifact.sha256)
        artifacts.ensure_uploaded(bucket, sha256=artifact.sha256)
        predictor = Predictor.load(unpack(kept, to=Path(folder) / "served"))
        answers = tuple(Golden(**answer) for answer in golden.golden_answers(predictor))
    metadata = artifact.metadata
    dataset = metadata["dataset"]
    promoted = Release(
        environment=settings.environment,
        model=Model(name=version.name, version=version.version, sha256=artifact.sha256, bytes=artifact.size),
        dataset=Dataset(name=dataset["name"], kind=dataset["kind"], fingerprint=dataset["fingerprint"]),
        mlflow=MlflowRun(**metadata["mlflow"]),
        metrics=metadata["metrics"],
        threshold=metadata["threshold"],
        gates=gates,
        golden=answers,
        forced=overridden,
    )
    if overridden:
        registry.force(version, reason=overridden)
    if _is_released(promoted, record=record):
        detail(f"  {version.name} version {version.version} is already the release: {record} stays")
        return
    release.replace(record, promoted, card=artifact.card)
    detail(f"  {record}: {version.name} version {version.version}, artifact {artifact.sha256[:12]}")


def _is_released(promoted: Release, *, record: Path) -> bool:
    try:
        return release.load(record) == promoted
    except release.ReleaseError:  # there is none yet, or it is broken: either way this one is new
        return False


def _shadow_gate(settings: Settings, version: ModelVersion, record: Path) -> Iterator[Gate]:
    """Yield the gate of having been a shadow, where the settings ask for it.

    The first release has nothing to be compared with, and a record that is not the environment's own, such as
    a shadow's, serves nobody.
    """
    own = record.name == record_path(settings.environment).name
    if settings.gates is None or not own or not record.is_file():
        return
    served = release.load(record)
    if (served.model.name, served.model.version) == (version.name, version.version):  # released again
        yield from (gate for gate in served.gates if gate.name == SHADOW)
        return
    asked = {"environment": settings.environment, "served": served.model.sha256}
    yield Gate(**shadowed(version.shadow_comparison(), asked, hours=settings.gates.shadow_hours))


def _check_gates(
    settings: Settings, version: ModelVersion, gates: tuple[Gate, ...], *, forced: str | None
) -> str | None:
    """Show every gate; refuse failed ones, and phantoms, on AWS; return why failed ones were overridden."""
    for gate in gates:
        detail(f"  {'✓' if gate.passed else '✗'} gate {gate.name}: {gate.detail}")
    failed = [gate.name for gate in gates if not gate.passed]
    if version.dataset_kind == "phantom" and not settings.local:
        raise DeliveryError(
            f"{version.name} was trained on phantoms and may be promoted to a local environment only."
        )
    if failed and not forced and not settings.local:
        missing = [gate.detail for gate in gates if gate.name == SHADOW and not gate.passed]
        remedy = f"It was {missing[0]}" if failed == [SHADOW] else "Train a better one"
        raise DeliveryError(
            f"{version.name} version {version.version} failed the gates {', '.join(failed)}. {remedy}, or "
            "promote it anyway with --force REASON, which is recorded."
        )
    if failed and not forced:
        detail("  a local environment promotes it anyway; the page and /health say so")
    elif failed:
        detail(f"  promoted despite failed gates: {forced}")
    return forced if failed else None
