"""Train a challenger, compare it with what serves, and propose it as a branch; or make none, and say why."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra import names
from infra.paths import ROOT
from model.evaluation import plots
from model.evaluation.comparison import compare, shared
from model.release import challenge, model_card, registry
from model.release.unseen import with_unseen
from scripts.commands import train
from scripts.commands.compare import released
from scripts.console import BusyError, DeliveryError, detail, echo, step
from scripts.delivery.aws import stack_outputs
from scripts.delivery.promotion import promote
from scripts.retraining import branch
from scripts.retraining.feedback import collected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from infra.config import Settings
    from model.release.gates import Outcome
    from model.release.registry import ModelVersion
    from scripts.retraining.feedback import Joined

LOCK = ROOT / ".local" / "retrain.lock"


class NotProposedError(DeliveryError):
    """The challenger is not proposed: everything worked, and there is nothing to review."""

    status = 3


@dataclass(frozen=True)
class Wish:
    """What a retraining is asked for.

    Attributes
    ----------
    record
        Release record of what serves, the champion.
    training
        Options of `scripts/train`.
    version
        A registered version to propose; None to train one.
    forced
        Why it is proposed although gates fail.
    repository
        A clone of the project, whose remote gets the branch.
    """

    record: Path
    training: tuple[str, ...] = ()
    version: str | None = None
    forced: str | None = None
    repository: Path = ROOT


def retrain(settings: Settings, wish: Wish) -> None:
    """Train, compare, and propose the challenger; everything that could stop it later is checked first."""
    with _alone():
        champion = released(wish.record)
        stack_outputs(names.stack(settings.environment, "registry"))
        branch.remote_head(wish.repository)
        options = train.parse(wish.training)
        here = options.on == "here"
        known = train.read_data(options) if here else None
        files = {scan.sha256: scan.path for scan in known.scans} if known else {}
        with collected(settings, known=files) as joined:
            if wish.version:
                challenger = registry.find_version(champion.name, version=wish.version)
            else:
                data = known.folders if known and not options.data and not options.kaggle else ()
                challenger = _train(champion, wish.training, data=data, joined=joined)
            proposed = _Challenge(champion, challenger, files | joined.files)
        outcomes = [*challenger.gates(), *proposed.outcomes]
        _check(settings, outcomes, forced=wish.forced, rejected=proposed.outcomes)
        _propose(settings, proposed, outcomes, wish=wish)


@contextmanager
def _alone() -> Iterator[None]:
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("Another retraining is running here: wait for its end.") from None
        yield


def _train(
    champion: ModelVersion, training: Sequence[str], *, data: Sequence[Path], joined: Joined
) -> ModelVersion:
    """Train as `scripts/train` does, with the feedback as a further source, and return the new version."""
    before = registry.newest(champion.name)
    feedback = {path.parent.parent for path in joined.files.values()}
    added = [word for folder in (*data, *feedback) for word in ("--data", str(folder))]
    train.main([*training, *added, "--challenger"])
    after = registry.newest(champion.name)
    if after == before:
        raise DeliveryError(
            f"The training registered no version of {champion.name}, which serves: it was of other data, or "
            "another one's job still runs."
        )
    return registry.find_version(champion.name, version=str(after))


class _Challenge:
    """The comparison of a challenger with the champion, on the images of both."""

    def __init__(self, champion: ModelVersion, challenger: ModelVersion, files: dict[str, Path]) -> None:
        self.champion, self.challenger = champion, challenger
        mine = challenger.scored()
        theirs = with_unseen(champion, mine, files)
        self.comparison = compare(mine, theirs)
        new_images = challenger.dataset_fingerprint != champion.dataset_fingerprint
        self.outcomes = challenge.judge(self.comparison, new_images=new_images)
        self._pair = shared(mine, theirs)[:2]

    def write(self, to: Path, outcomes: Sequence[Outcome]) -> None:
        """Write the comparison, and its plot beside it."""
        plot = plots.paired(self._pair[0].predictions, self._pair[1].predictions, self.comparison)
        to.with_suffix(".png").write_bytes(model_card.png(plot))
        text = challenge.describe(
            self.challenger, self.champion, self.comparison, outcomes, plot=to.with_suffix(".png").name
        )
        to.write_text(text, encoding="utf-8")


def _check(
    settings: Settings, outcomes: Sequence[Outcome], *, forced: str | None, rejected: Sequence[Outcome]
) -> None:
    """Show each outcome; end where one stops the proposal.

    A local environment takes any version, as `scripts/promote` does, if it is not worse than what serves.
    """
    for outcome in outcomes:
        detail(f"  {'✓' if outcome['passed'] else '✗'} {outcome['name']}: {outcome['detail']}")
    stops = rejected if settings.local or forced else outcomes
    if failed := [f"{each['name']} ({each['detail']})" for each in stops if not each["passed"]]:
        raise NotProposedError(f"No branch was made: {'; '.join(failed)}.")


def _propose(settings: Settings, proposed: _Challenge, outcomes: Sequence[Outcome], *, wish: Wish) -> None:
    """Push one branch with the record, the card and the comparison, and open its pull request."""
    environment, challenger = settings.environment, proposed.challenger
    name = f"retrain/{environment}-{datetime.now(UTC):%Y-%m-%d}-v{challenger.version}"
    title = f"Release {challenger.name} version {challenger.version} to {environment}"
    over = proposed.comparison.parts[0].figures["roc_auc"].difference
    body = (
        f"ROC AUC {over.value:+.3f} ({over.low:+.3f} to {over.high:+.3f}) against version "
        f"{proposed.champion.version}. Read {branch.INSIDE}/{environment}.comparison.md. To merge it is to "
        "deploy it."
    )
    try:
        with step("writing the branch"), branch.proposed(wish.repository) as proposal:
            record = proposal.releases / f"{environment}.json"
            promote(settings, challenger, record=record, forced=wish.forced)
            proposed.write(record.with_name(f"{environment}.comparison.md"), outcomes)
            proposal.push(name, subject=title, body=body)
    except Exception:
        echo(
            f"No branch was made. {challenger.name} version {challenger.version} is registered: the same "
            f"command with --challenger-version {challenger.version} proposes it without training again."
        )
        raise
    echo(f"✓ {branch.REMOTE} has the branch {name}")
    registry.make_champion(challenger)
    branch.open_pull_request(wish.repository, name, title=title, body=body)
