"""The release record: what an environment serves, as one small reviewed file in git.

A promotion writes it, synth reads it, a rollback restores its previous version. The model card is beside it.
"""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from infra.config.base import EnvironmentName, matches
from infra.config.file_errors import FileError, problems
from infra.paths import RELEASES

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings

NO_RELEASE = "none"  # in place of a record's path: only the stacks that need no release
ARTIFACTS = "models"  # prefix of every artifact's key

_CHECKED = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Name = Annotated[
    str,
    matches(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
        like="at most 128 letters, digits and . _ -, a letter or digit first",
    ),
]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, matches(r"[0-9a-f]{64}", like="a SHA-256: 64 of 0-9 and a-f")]
Probability = Annotated[float, Field(ge=0, le=1)]
# It is in the Lambda's environment, 4 KB in all, as JSON inside JSON: up to 14 bytes for a character.
MAX_REASON = 200
Reason = Annotated[str, Field(max_length=MAX_REASON), matches(r"(?s).*\S.*", like="why")]


class ReleaseError(FileError):
    """A release record cannot be used; the message lists every reason."""


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Model:
    """The registered model version and its artifact, found by the artifact's own hash."""

    name: Name
    version: Annotated[str, matches(r"[1-9][0-9]*", like='the version\'s number in quotes, such as "3"')]
    sha256: Sha256
    bytes: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Dataset:
    """What the model was trained on."""

    name: Name
    kind: Literal["images", "phantom"]
    fingerprint: Sha256


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class MlflowRun:
    """The MLflow run of the training."""

    experiment: Text
    run_id: Text


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Gate:
    """A quality gate's outcome at promotion."""

    name: Text
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Golden:
    """What the promoted model answers to one drawn phantom: a probability, or a refusal."""

    seed: Annotated[int, Field(ge=0)]
    lesion: bool
    probability: Probability | None = None
    refused: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one_answer(self) -> Golden:
        if (self.probability is None) == (self.refused is None):
            raise ValueError('give either "probability" or "refused": true')
        return self


def _at_least_one(golden: tuple[Golden, ...]) -> tuple[Golden, ...]:
    if not golden:
        raise ValueError("no answer to check a deployment with; run `scripts/promote`")
    return golden


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Release:
    """Everything that synth, `deploy` and `smoke` need to know about what an environment serves."""

    schema: Literal[1] = 1
    environment: EnvironmentName
    model: Model
    dataset: Dataset
    mlflow: MlflowRun
    metrics: dict[str, float]
    threshold: Probability
    gates: tuple[Gate, ...]
    golden: Annotated[tuple[Golden, ...], AfterValidator(_at_least_one)]
    forced: Reason | None = None  # why it serves although a gate failed: `scripts/promote --force REASON`

    @property
    def gates_failed(self) -> tuple[str, ...]:
        """Names of the quality gates that this model did not pass."""
        return tuple(gate.name for gate in self.gates if not gate.passed)


_RECORD = TypeAdapter(Release)


def record_path(environment: str) -> Path:
    """Return where the environment's record is kept; the file is absent until the first promotion."""
    return RELEASES / f"{environment}.json"


def previous_path(record: Path) -> Path:
    """Return where the release before the one at `record` is kept, for a rollback."""
    return record.with_suffix(".previous.json")


def card_path(record: Path, *, sha256: str) -> Path:
    """Return where the model card of a release is kept: beside its record.

    Its name contains the model's hash, so that one write of the record changes both at once.
    """
    return record.with_name(f"{record.stem.removesuffix('.previous')}.{sha256[:12]}.model-card.md")


def artifact_key(sha256: str) -> str:
    """Return the key of a model artifact in the model bucket, which contains the artifact's hash."""
    return f"{ARTIFACTS}/{sha256}/model.tar.gz"


def load(path: Path) -> Release:
    """Read and check the record at `path`; raises `ReleaseError` with everything that is wrong."""
    try:
        return _RECORD.validate_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise ReleaseError(path, [f"cannot be read: {error.strerror}; `scripts/promote` writes it"]) from None
    except ValidationError as error:
        raise ReleaseError(path, [problem.line for problem in problems(error)]) from None


def load_for(environment: str, path: Path, *, local: bool) -> Release:
    """Read the record at `path` for `environment`; in a `local` one any model may serve.

    Raises `ReleaseError` with everything that is wrong: the record, its environment, gates, or absent card.
    """
    release = load(path)
    found = []
    if release.environment != environment:
        found.append(
            f"environment = {release.environment!r}: this is the record of another environment; "
            f"run `scripts/promote --env {environment}`"
        )
    card = card_path(path, sha256=release.model.sha256)
    if not card.is_file():
        found.append(f"{card.name} is missing beside it; `scripts/promote` writes both")
    if not local and release.dataset.kind == "phantom":
        found.append("dataset.kind = 'phantom': drawn images; such a model may serve locally only")
    if not local and release.gates_failed and not release.forced:
        found.append(
            f"gates: {', '.join(release.gates_failed)} failed; it may serve locally only, "
            f"unless promoted with --force REASON"
        )
    if found:
        raise ReleaseError(path, found)
    return release


def load_shadow(settings: Settings, served: Release) -> Release | None:
    """Read the record of the settings' shadow, if there is one, as that of the `served` release is read."""
    if settings.shadow is None:
        return None
    path = settings.shadow.path
    shadow = load_for(settings.environment, path, local=settings.local)
    if shadow.model.sha256 == served.model.sha256:
        same = "model.sha256: this is what serves; promote another version, or leave out [hosting.shadow]"
        raise ReleaseError(path, [same])
    return shadow


def save(path: Path, release: Release) -> None:
    """Write the record at `path` in one step."""
    _write(path, _RECORD.dump_json(release, indent=2, exclude_none=True) + b"\n")


def replace(path: Path, release: Release, *, card: str) -> None:
    """Make `release` the record at `path`, and the record that was there the previous one.

    The new card is written first and the record last, each in one step, so that an interruption leaves either
    the old release or the new one. Cards of neither record are removed at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(card_path(path, sha256=release.model.sha256), card.encode())
    if path.is_file():
        _write(previous_path(path), path.read_bytes())
    save(path, release)
    _remove_unnamed_cards(path)


def swap_with_previous(path: Path) -> None:
    """Exchange the release at `path` with the previous one."""
    current, before = path.read_bytes(), previous_path(path).read_bytes()
    _write(path, before)
    _write(previous_path(path), current)


def _remove_unnamed_cards(path: Path) -> None:
    records = [record for record in (path, previous_path(path)) if record.is_file()]
    try:
        named = {card_path(path, sha256=load(record).model.sha256) for record in records}
    except ReleaseError:  # a record that cannot be read may name any of them
        return
    for card in path.parent.glob(f"{path.stem}.{'[0-9a-f]' * 12}.model-card.md"):
        if card not in named:
            card.unlink()


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
