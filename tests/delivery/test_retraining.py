"""A retraining ends in exactly one branch of the remote, or in none and the reason; the checkout stays."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infra import config, release
from infra.config.environment import Gates
from infra.config.hosting import RealTime, Shadow
from model.release import registry
from model.release.gates import Outcome, evaluate
from model.release.registry import ModelVersion
from scripts.commands import train
from scripts.commands.retrain import main
from scripts.console import BusyError, DeliveryError
from scripts.retraining import retraining
from scripts.retraining.feedback import Joined
from scripts.retraining.retraining import NotProposedError, Options, retrain
from tests.git import branches, git, publish
from tests.infra.synthesis import RELEASE
from tests.model.passing_metrics import GOOD
from tests.model.test_comparison import skilled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from model.evaluation.comparison import Scored

BRANCH = "retrain/dev-2026-"


@dataclass(frozen=True)
class Version(ModelVersion):
    """A version without MLflow."""

    skill: float = 1

    def scored(self) -> Scored:
        return skilled(self.skill, seed=int(self.version) % 2)

    def gates(self) -> list[Outcome]:
        return evaluate(self.metrics, comparable=True, over_champion=None, rival="none", dataset="drawn")


def version(number: str, *, skill: float, images: str = "new", **metrics: float) -> Version:
    return Version(
        "tumor-detector", number, number * 32, "drawn", GOOD | metrics, "images", "drawn", images, skill=skill
    )


@dataclass
class Bench:
    """A retraining in a clone with a bare remote, whose training registers `challenger`."""

    clone: Path
    remote: Path
    challenger: Version
    champion: Version = field(default_factory=lambda: version("5", skill=1, images="old"))
    trained: list[list[str]] = field(default_factory=list)
    champions: list[str] = field(default_factory=list)

    def run(self, environment: str = "dev", **options: Any) -> None:
        record = self.clone / "infra" / "releases" / "dev.json"
        retrain(config.load(environment), Options(record=record, repository=self.clone, **options))

    def branches(self) -> list[str]:
        return branches(self.remote)

    def state(self) -> tuple[str, ...]:
        """What a user would miss: branch, index, changes and branches of the clone."""
        wanted = ("rev-parse HEAD", "status --porcelain", "branch --list", "worktree list")
        return tuple(git(self.clone, *each.split()) for each in wanted)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    released = replace(release.load(RELEASE), environment="dev")
    release.replace(clone / "infra" / "releases" / "dev.json", released, card="# The champion\n")
    publish(clone, remote)
    # The user is elsewhere, with changes of their own
    git(clone, "switch", "--quiet", "--create", "mine")
    (clone / "staged").write_text("staged")
    git(clone, "add", "staged")
    made = Bench(clone, remote, version("7", skill=3))

    def train_fake(arguments: list[str]) -> None:
        made.trained.append(arguments)

    def promote_fake(settings: Any, chosen: Version, *, record: Path, forced: str | None) -> None:
        model = replace(released.model, version=chosen.version, sha256="7" * 64)
        new = replace(released, environment=settings.environment, model=model, forced=forced)
        release.replace(record, new, card="# The challenger\n")

    @contextmanager
    def fed(*_: Any, **__: Any) -> Iterator[Joined]:
        yield Joined({"a" * 64: tmp_path / "feedback" / "yes" / "a"})

    data = SimpleNamespace(scans=[], folders=(tmp_path / "data",))
    for place, name, instead in (
        (retraining, "LOCK", tmp_path / ".local" / "retrain.lock"),
        (retraining, "released", lambda _: made.champion),
        (retraining, "stack_outputs", lambda _: {}),
        (retraining, "collected", fed),
        (retraining, "promote", promote_fake),
        (registry, "newest", lambda _: 7 if made.trained else 6),
        (registry, "find_version", lambda *_, version: made.challenger),
        (registry, "make_champion", lambda chosen: made.champions.append(chosen.version)),
        (train, "read_data", lambda _: data),
        (train, "main", train_fake),
        (shutil, "which", lambda _: None),
    ):
        monkeypatch.setattr(place, name, instead)
    return made


def test_a_better_challenger_makes_one_branch_and_leaves_the_checkout_alone(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = bench.state()
    bench.run(training=("--quick",))
    # One branch on the remote's own, with record, card, previous record and comparison
    [name] = bench.branches()
    assert name.startswith(BRANCH)
    assert name.endswith("-v7")
    assert git(bench.remote, "rev-list", "--count", f"main..{name}") == "1"
    changed = git(bench.remote, "diff", "--name-status", "--no-renames", "main", name).splitlines()
    assert changed == [
        "A\tinfra/releases/dev.777777777777.model-card.md",
        "A\tinfra/releases/dev.comparison.md",
        "A\tinfra/releases/dev.comparison.png",
        "M\tinfra/releases/dev.json",
        "A\tinfra/releases/dev.previous.json",
    ]
    text = git(bench.remote, "show", f"{name}:infra/releases/dev.comparison.md")
    assert "# tumor-detector version 7 against tumor-detector version 5" in text
    assert "✓ not_worse" in text
    # It trained on the data and the feedback, as a challenger, and became champion when the branch was there
    data, fed = (str(tmp_path / each) for each in ("data", "feedback"))
    assert bench.trained == [["--quick", "--data", data, "--data", fed, "--challenger"]]
    assert bench.champions == ["7"]
    assert bench.state() == before
    # Without gh its command is printed, whole
    assert f"gh pr create --head {name} --title 'Release tumor-detector" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("challenger", "environment", "options", "reason"),
    [
        (version("7", skill=3, specificity=0.4), "dev", {}, r"specificity \(specificity 0.400, at least"),
        (version("7", skill=-3), "dev", {}, r"not_worse \(ROC AUC -"),
        (version("7", skill=-3), "local", {}, r"not_worse \(ROC AUC -"),
        (version("7", skill=-3), "dev", {"forced": "we want it"}, r"not_worse \(ROC AUC -"),
        (version("7", skill=1, images="old"), "dev", {}, r"learnt \(trained on the same images"),
    ],
    ids=["gate", "worse", "worse-locally", "worse-though-forced", "nothing-learnt"],
)
def test_a_failing_gate_or_a_worse_challenger_makes_no_branch_and_is_named(
    bench: Bench, challenger: Version, environment: str, options: dict[str, str], reason: str
) -> None:
    bench.challenger = challenger
    with pytest.raises(NotProposedError, match=f"No branch was made: .*{reason}") as error:
        bench.run(environment, **options)
    assert error.value.status == 3
    assert bench.branches() == bench.champions == []


@pytest.mark.parametrize("environment", ["local", "dev"])
def test_failed_gates_pass_locally_or_with_a_reason(bench: Bench, environment: str) -> None:
    bench.challenger = version("7", skill=3, specificity=0.4)
    bench.run(environment, forced=None if environment == "local" else "agreed in the review")
    assert len(bench.branches()) == 1


def test_where_promotions_need_hours_as_a_shadow_the_branch_makes_one(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    hosting, record = config.load("local").hosting, "infra/releases/dev.shadow.json"
    assert isinstance(hosting, RealTime)
    shadowed = replace(hosting, shadow=Shadow(release=record))
    settings = replace(config.load("dev"), hosting=shadowed, gates=Gates(shadow_hours=24))
    released = bench.clone / "infra" / "releases" / "dev.json"
    retrain(settings, Options(record=released, repository=bench.clone, training=("--quick",)))
    changed = git(bench.remote, "diff", "--name-only", "main", *bench.branches()).splitlines()
    assert record in changed
    assert "infra/releases/dev.json" not in changed
    assert "version 7 to dev as its shadow'" in capsys.readouterr().err


def test_after_a_refused_push_the_next_run_proposes_without_training(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bench.state()
    refuse = bench.remote / "hooks" / "pre-receive"
    refuse.write_text("#!/bin/sh\necho 'branches are closed' >&2\nexit 1\n")
    refuse.chmod(0o755)
    with pytest.raises(DeliveryError, match=r"git push failed: [^$]*branches are closed"):
        bench.run()
    assert "--challenger-version 7 proposes it without training again" in capsys.readouterr().err
    assert (bench.branches(), bench.champions, bench.state()) == ([], [], before)
    refuse.unlink()
    bench.run(version="7")
    assert len(bench.branches()) == len(bench.trained) == 1


def test_the_same_version_is_proposed_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run()
    before = git(bench.remote, "for-each-ref")
    # In the same second it is the same commit, whose push changes nothing.
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
    with pytest.raises(DeliveryError, match="git push failed"):
        bench.run(version="7")
    assert git(bench.remote, "for-each-ref") == before


def test_a_failing_promotion_makes_no_branch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise DeliveryError("s3://models cannot be written")

    monkeypatch.setattr(retraining, "promote", refused)
    with pytest.raises(DeliveryError, match="cannot be written"):
        bench.run()
    assert bench.branches() == bench.champions == []


def test_two_at_once_are_refused_before_anything_happens(bench: Bench) -> None:
    retraining.LOCK.parent.mkdir()
    with retraining.LOCK.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="Another retraining is running"):
            bench.run()
    assert bench.trained == []
    bench.run()
    assert len(bench.branches()) == 1


def test_a_pipeline_that_the_environment_lacks_is_told_at_once(bench: Bench) -> None:
    with pytest.raises(DeliveryError, match=r"dev has no pipeline: add \[training\] .* --on here"):
        bench.run(training=("--on", "sagemaker"))
    assert bench.trained == []


def test_an_unreachable_remote_is_found_before_the_training(bench: Bench) -> None:
    git(bench.clone, "remote", "set-url", "origin", str(bench.remote / "gone"))
    with pytest.raises(DeliveryError, match="git ls-remote failed"):
        bench.run()
    assert bench.trained == []


def test_a_training_that_registers_nothing_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "newest", lambda _: 6)
    with pytest.raises(DeliveryError, match="registered no version of tumor-detector"):
        bench.run()
    assert bench.branches() == []


@pytest.mark.parametrize("status", [0, 1])
def test_gh_opens_the_pull_request_or_its_failure_is_told(
    bench: Bench,
    make_tool: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = "no permission" if status else "https://example.org/pull/1"
    log = bench.remote.with_name("log")
    make_tool("gh", f'echo "$@" > {log}\necho {answer} >&{status + 1}\nexit {status}')
    monkeypatch.setattr(shutil, "which", str)  # the fixture hides `gh`
    refused = pytest.raises(DeliveryError, match=f"is pushed, but gh opened no pull request: {answer}")
    with refused if status else nullcontext():
        bench.run()
    assert status or answer in capsys.readouterr().err
    [name] = bench.branches()
    assert f"pr create --head {name} --title Release" in log.read_text()
    assert bench.champions == ["7"]


def test_a_runner_without_an_identity_commits_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(bench.clone.parent))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("EMAIL", raising=False)
    git(bench.clone, "config", "user.useConfigOnly", "true")
    bench.run()
    [name] = bench.branches()
    assert git(bench.remote, "log", "-1", "--format=%an", name) == "tumor-detector"


def test_an_option_that_the_training_lacks_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--env", "dev", "--stepz", "3"])
    assert "unrecognized arguments: --stepz 3" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "status"), [([], 3), (["--accept-none"], None)])
def test_nothing_to_propose_can_be_no_failure(
    options: list[str],
    status: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def none(*_: object) -> None:
        raise NotProposedError("No branch was made: learnt (trained on the same images).")

    monkeypatch.setattr("scripts.commands.common.connect", lambda _: None)
    monkeypatch.setattr("scripts.commands.retrain.retrain", none)
    if status is None:
        main(["--env", "dev", *options])
    else:
        with pytest.raises(SystemExit) as ended:
            main(["--env", "dev", *options])
        assert ended.value.code == status
    assert "No branch was made: learnt" in capsys.readouterr().err
