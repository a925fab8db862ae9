"""A release is replaced whole or not at all, and the one before it comes back by a swap."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from infra import release

FIXTURE = Path(__file__).parents[1] / "fixtures" / "releases" / "local.json"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record with its card, in a folder of its own."""
    for path in FIXTURE.parent.glob("local.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "local.json"


def successor(record: Path, *, sha256: str = "b" * 64, version: str = "9") -> release.Release:
    current = release.load(record)
    return replace(current, model=replace(current.model, sha256=sha256, version=version))


def card_of(record: Path) -> Path:
    return release.card_path(record, sha256=release.load(record).model.sha256)


def test_the_release_before_comes_back_with_its_card(record: Path) -> None:
    first, card = release.load(record), card_of(record).read_text()
    release.replace(record, successor(record), card="the successor's card")
    assert card_of(record).read_text() == "the successor's card"
    release.swap_with_previous(record)
    assert release.load(record) == first
    assert card_of(record).read_text() == card
    release.swap_with_previous(record)
    assert release.load(record).model.version == "9"


def test_cards_that_no_record_names_are_removed(record: Path) -> None:
    for version in ("4", "5", "6"):
        release.replace(record, successor(record, sha256=version * 64, version=version), card=version)
    assert {path.read_text() for path in record.parent.glob("*.model-card.md")} == {"5", "6"}


@pytest.mark.parametrize("writes_before_the_interruption", [0, 1, 2])
def test_an_interrupted_promotion_leaves_the_old_release_whole(
    record: Path, monkeypatch: pytest.MonkeyPatch, writes_before_the_interruption: int
) -> None:
    # Given a promotion that is stopped before one of its writes: the card, the previous record, the record
    old, written = release.load(record), 0
    replace_file = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal written
        if written == writes_before_the_interruption:
            raise KeyboardInterrupt
        written += 1
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    # When it is stopped
    with pytest.raises(KeyboardInterrupt):
        release.replace(record, successor(record), card="the successor's card")
    monkeypatch.undo()
    # Then the old release is there with its card, and nothing half-written lies about
    assert release.load_for("local", record, local=True) == old
    assert list(record.parent.glob("*.tmp")) == []
    # And the same promotion, run again, succeeds
    release.replace(record, successor(record), card="the successor's card")
    assert release.load_for("local", record, local=True).model.version == "9"


def test_a_broken_record_is_replaced_by_a_promotion(record: Path) -> None:
    whole = successor(record)
    record.write_text("{")
    release.replace(record, whole, card="the successor's card")
    assert release.load_for("local", record, local=True) == whole
