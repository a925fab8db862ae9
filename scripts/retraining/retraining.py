"""Train a challenger, compare it with what serves, and propose it as a branch; or make none, and say why."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from infra import names
from infra.paths import ROOT
from model.evaluation import plots
from model.evaluation.comparison import compare, shared
from model.release import challenge, model_card, registry
from scripts.commands import train
from scripts.commands.compare import released
from scripts.console import BusyError, DeliveryError, detail, echo, step
from scripts.delivery.aws import stack_outputs
from scripts.delivery.promotion import promote
from scripts.retraining import branch, pipeline
from scripts.retraining.feedback import collected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.config import Settings
    from model.evaluation.comparison import Scored
    from model.release.registry import ModelVersion

LOCK = ROOT / ".local" / "retrain.lock"


class NotProposedError(DeliveryError):
    """The challenger is not proposed: everything worked, and there is nothing to review."""

    status = 3


@dataclass(frozen=True)
class Options:
    """What a retraining is asked for."""

    record: Path  # release record of what serves, the champion
    training: tuple[str, ...] = ()  # options of `scripts/train`
    version: str | None = None  # a registered version to propose; None to train one
    forced: str | None = None  # why it is proposed although gates fail
    repository: Path = ROOT  # a clone of the project, whose remote gets the branch


def retrain(settings: Settings, options: Options) -> None:
    """Train, compare, and propose the challenger; what could stop it later is checked before the training."""
    training = train.parse(options.training)
    piped = training.on is None and settings.training
    with _alone():
        if piped:
            pipeline.use_store(piped)
        champion = released(options.record)
        stack_outputs(names.stack(settings.environment, "registry"))
        branch.remote_head(options.repository)
        elsewhere = training.on == "sagemaker" or (piped and training.kaggle)
        known = None if elsewhere else train.read_data(training)
        files = {scan.sha256: scan.path for scan in known.scans} if known else {}
        with collected(settings, known=files) as joined:
            if options.version:
                challenger = registry.find_version(champion.name, version=options.version)
            else:
                usual = known.folders if known and not training.data and not training.kaggle else ()
                feedback = {path.parent.parent for path in joined.files.values()}
                given = [word for each in (*usual, *feedback) for word in ("--data", str(each))]
                begin = partial(pipeline.run, settings) if piped else train.main
                challenger = _train(champion, begin, [*options.training, *given])
            mine = challenger.scored()
            theirs = challenge.with_unseen(champion, mine, files | joined.files)
        _propose(settings, options, (challenger, mine), (champion, theirs))


@contextmanager
def _alone() -> Iterator[None]:
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("Another retraining is running here: wait for its end.") from None
        yield


def _train(champion: ModelVersion, begin: Callable[[list[str]], None], arguments: list[str]) -> ModelVersion:
    """Train a challenger, as `scripts/train` does, and return the new version."""
    before = registry.newest(champion.name)
    begin([*arguments, "--challenger"])
    after = registry.newest(champion.name)
    if after == before:
        raise DeliveryError(
            f"The training registered no version of {champion.name}, which serves: it was of another kind of "
            "images, or in another store."
        )
    return registry.find_version(champion.name, version=str(after))


def _propose(
    settings: Settings,
    options: Options,
    mine: tuple[ModelVersion, Scored],
    theirs: tuple[ModelVersion, Scored],
) -> None:
    """Push one branch with the record, the card and the comparison, and open its pull request.

    A local environment takes any version, as `scripts/promote` does, if it is not worse than what serves.
    """
    (challenger, scored), (champion, answered) = mine, theirs
    comparison = compare(scored, answered)
    new_images = challenger.dataset_fingerprint != champion.dataset_fingerprint
    judged, gates = challenge.outcomes(comparison, new_images=new_images), challenger.gates()
    for outcome in (*gates, *judged):
        detail(f"  {'✓' if outcome['passed'] else '✗'} {outcome['name']}: {outcome['detail']}")
    stops = judged if settings.local or options.forced else [*gates, *judged]
    if failed := [f"{each['name']} ({each['detail']})" for each in stops if not each["passed"]]:
        raise NotProposedError(f"No branch was made: {'; '.join(failed)}.")

    environment, version = settings.environment, challenger.version
    name = f"retrain/{environment}-{datetime.now(UTC):%Y-%m-%d}-v{version}"
    shadow = settings.shadow if settings.gates else None  # whose hours a promotion needs first
    title = (
        f"Release {challenger.name} version {version} to {environment}{' as its shadow' if shadow else ''}"
    )
    body = f"{judged[1]['detail']}. Read {branch.INSIDE}/{environment}.comparison.md: to merge is to deploy."
    try:
        with (
            step("writing the branch"),
            branch.proposed(options.repository, name, subject=title, body=body) as releases,
        ):
            record = releases / (shadow.path.name if shadow else f"{environment}.json")
            promote(settings, challenger, record=record, forced=options.forced)
            plot = record.with_name(f"{environment}.comparison.png")
            ours, others, _ = shared(scored, answered)
            figure = plots.paired(ours.predictions, others.predictions, comparison)
            plot.write_bytes(model_card.png(figure))
            text = challenge.describe(challenger, champion, comparison, [*gates, *judged], plot=plot.name)
            plot.with_suffix(".md").write_text(text, encoding="utf-8")
    except Exception:
        echo(
            f"No branch was made. {challenger.name} version {version} is registered: the same command with "
            f"--challenger-version {version} proposes it without training again."
        )
        raise
    echo(f"✓ {branch.REMOTE} has the branch {name}")
    registry.make_champion(challenger)
    branch.open_pull_request(options.repository, name, title=title, body=body)
