"""Captured images and labels become a source for one training; what has no label of one voice stays out."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest

from infra import config
from infra.config.environment import Feedback
from infra.config.hosting import DataCapture, RealTime
from scripts.console import DeliveryError
from scripts.monitoring import labels as live_labels
from scripts.monitoring.labels import Label, consensus
from scripts.monitoring.records import Answers, Record
from scripts.retraining import feedback
from scripts.retraining.feedback import LEAST, Joined, collected, join

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infra.config import Settings

NOW = datetime(2026, 11, 30, 20, tzinfo=UTC)
DISPUTED, KNOWN, MISSING = (
    "on whose label people disagree",
    "that the data has already",
    "not captured, or expired",
)


def record(id_: str, image: bytes | None) -> Record:
    return Record(id=id_, time=NOW, model_sha256="a" * 64, statistics={}, image=image)


def label(id_: str, said: Literal["NO", "YES"], caller: str = "ann") -> Label:
    return Label(request_id=id_, label=said, model_sha256="a" * 64, time=NOW, caller=caller)


def joined(records: list[Record], labels: list[Label], folder: Path, **more: Any) -> tuple[Joined, set[str]]:
    found = join(records, consensus(labels), to=folder, **more)
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {path.relative_to(folder).as_posix() for path in found.files.values()}
    return found, written


def test_labelled_images_go_once_into_the_folder_of_their_class(tmp_path: Path) -> None:
    records = [record("a", b"one"), record("b", b"two"), record("c", b"unlabelled"), record("d", b"one")]
    found, written = joined(records, [label("a", "YES"), label("b", "NO"), label("d", "YES")], tmp_path)
    assert written == {"yes/a", "no/b"}
    assert (tmp_path / "yes" / "a").read_bytes() == b"one"
    assert found.left_out.total() == 0


@pytest.mark.parametrize(
    ("records", "labels", "left_out"),
    [
        pytest.param(
            [record("a", b"one")], [label("a", "YES"), label("a", "NO", "bob")], {DISPUTED: 1}, id="callers"
        ),
        pytest.param(
            [record("a", b"one"), record("b", b"one"), record("c", b"one")],
            [label("a", "YES"), label("b", "NO"), label("c", "NO")],
            {DISPUTED: 3},
            id="the-same-image-twice",
        ),
        pytest.param([], [label("a", "YES")], {MISSING: 1}, id="expired"),
        pytest.param([record("a", None)], [label("a", "YES")], {MISSING: 1}, id="without-image"),
        pytest.param([record("a", b"known")], [label("a", "YES")], {KNOWN: 1}, id="known"),
        pytest.param([record("../a", b"one")], [label("../a", "YES")], {MISSING: 1}, id="no-request-id"),
    ],
)
def test_what_is_left_out_is_counted_by_its_reason(
    records: list[Record], labels: list[Label], left_out: dict[str, int], tmp_path: Path
) -> None:
    known = {hashlib.sha256(b"known").hexdigest()}
    found, written = joined(records, labels, tmp_path / "feedback", known=known)
    assert written == set()
    assert found.left_out == left_out


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int, int], Settings]:
    """Make an environment that captured so many images, and had them labelled YES and NO."""

    def fed(yes: int, no: int) -> Settings:
        records = [record(f"{number}", f"image {number}".encode()) for number in range(yes + no)]
        labels = [label(f"{number}", "YES" if number < yes else "NO") for number in range(yes + no)]
        answers = Answers("any", lambda _: ((each.id, each) for each in records), lambda each: each)
        monkeypatch.setattr(feedback, "FOLDER", tmp_path / "kept")
        monkeypatch.setattr(feedback, "records", lambda _, *, since, images: answers)
        monkeypatch.setattr(live_labels, "read", lambda *_: labels)
        local = config.load("local")
        assert isinstance(local.hosting, RealTime)
        capture = DataCapture(percent=100, expire_days=30, what=("input", "output"))
        hosting = replace(local.hosting, data_capture=capture)
        return replace(local, environment="fed", hosting=hosting, feedback=Feedback(expire_days=30))

    return fed


@pytest.mark.parametrize("failure", [None, DeliveryError()])
def test_the_source_is_there_for_the_training_and_gone_after_it(
    fed: Callable[[int, int], Settings], tmp_path: Path, failure: DeliveryError | None
) -> None:
    folder = tmp_path / "kept" / "fed" / "feedback"
    (folder / "yes").mkdir(parents=True)
    (folder / "yes" / "expired").write_bytes(b"left by a run that was killed")
    with suppress(DeliveryError), collected(fed(LEAST, LEAST)) as found:
        assert len(found.files) == 2 * LEAST
        assert {path.parent.parent for path in found.files.values()} == {folder}
        assert not (folder / "yes" / "expired").exists()
        if failure:
            raise failure
    assert not folder.exists()


def test_too_few_images_of_a_class_make_no_source(
    fed: Callable[[int, int], Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    with collected(fed(LEAST, LEAST - 1)) as found:
        assert found.files == {}
    assert f"too few: {LEAST} of each class make a source" in capsys.readouterr().err


def test_an_environment_that_captures_no_input_or_takes_no_labels_has_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with collected(config.load("local")) as found:
        assert found.files == {}
    assert "it takes [feedback], and [hosting.data_capture] with input" in capsys.readouterr().err
