"""Release records are replaced atomically; a rollback restores and deploys the previous one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from infra import config, release
from scripts.console import DeliveryError
from scripts.delivery import deployment
from scripts.delivery.deployment import rollback
from tests.infra.synthesis import record_for

LOCAL = config.load("local")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record with its card, in a folder of its own."""
    return record_for("local", tmp_path)


def successor(record: Path, *, sha256: str = "b" * 64, version: str = "9") -> release.Release:
    current = release.load(record)
    return replace(current, model=replace(current.model, sha256=sha256, version=version))


def card_of(record: Path) -> Path:
    return release.card_path(record, sha256=release.load(record).model.sha256)


def test_the_previous_release_is_restored_with_its_card(record: Path) -> None:
    first, card = release.load(record), card_of(record).read_text()
    release.replace(record, successor(record), card="the successor's card")
    assert card_of(record).read_text() == "the successor's card"
    release.swap_with_previous(record)
    assert (release.load(record), card_of(record).read_text()) == (first, card)
    release.swap_with_previous(record)
    assert release.load(record).model.version == "9"


def test_cards_without_a_record_are_removed(record: Path) -> None:
    for version in ("4", "5", "6"):
        release.replace(record, successor(record, sha256=version * 64, version=version), card=version)
    assert {path.read_text() for path in record.parent.glob("*.model-card.md")} == {"5", "6"}


@pytest.mark.parametrize("writes_before_the_interruption", [0, 1, 2])
def test_an_interrupted_promotion_leaves_the_old_release_intact(
    record: Path, monkeypatch: pytest.MonkeyPatch, writes_before_the_interruption: int
) -> None:
    # A promotion writes the card, the previous record, and the record.
    old, written = release.load(record), 0
    replace_file = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal written
        if written == writes_before_the_interruption:
            raise KeyboardInterrupt
        written += 1
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        release.replace(record, successor(record), card="the successor's card")
    monkeypatch.undo()
    assert release.load_for("local", record, local=True) == old
    assert list(record.parent.glob("*.tmp")) == []
    release.replace(record, successor(record), card="the successor's card")
    assert release.load_for("local", record, local=True).model.version == "9"


def test_a_broken_record_is_replaced_by_a_promotion(record: Path) -> None:
    whole = successor(record)
    record.write_text("{")
    release.replace(record, whole, card="the successor's card")
    assert release.load_for("local", record, local=True) == whole


@pytest.fixture
def second(record: Path) -> Path:
    """Version 9, released after the fixture's version 3."""
    release.replace(record, successor(record), card="another card")
    return record


def version(record: Path) -> str:
    return release.load(record).model.version


def test_a_rollback_restores_the_record_and_names_the_command_to_continue_with(
    second: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deployment, "deploy", Mock(side_effect=DeliveryError("the stack failed")))
    with pytest.raises(DeliveryError, match="the stack failed"):
        rollback(LOCAL, record=second)
    assert version(second) == "3"
    assert "scripts/deploy --env local" in capsys.readouterr().err


def test_without_a_previous_release_nothing_changes(second: Path, tmp_path: Path) -> None:
    shutil.copy(second, release.previous_path(second))  # as an interrupted promotion does
    with pytest.raises(DeliveryError, match="are the same"):
        rollback(LOCAL, record=second)
    release.previous_path(second).unlink()
    with pytest.raises(DeliveryError, match="no previous record"):
        rollback(LOCAL, record=second)
    assert version(second) == "9"
    with pytest.raises(release.ReleaseError, match=r"absent\.json"):
        rollback(LOCAL, record=tmp_path / "absent.json")
