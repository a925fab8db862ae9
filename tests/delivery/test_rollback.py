"""A rollback goes back to the release before, or says why it cannot; it never goes forward by mistake."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from infra import config, release
from scripts.delivery import rollback as module
from scripts.delivery.console import DeliveryError
from scripts.delivery.rollback import rollback

FIXTURE = Path(__file__).parents[1] / "fixtures" / "releases" / "local.json"
LOCAL = config.load("local")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Version 9, released after the fixture's version 3."""
    for path in FIXTURE.parent.glob("local.*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "local.json"
    first = release.load(path)
    second = replace(first, model=replace(first.model, sha256="b" * 64, version="9"))
    release.replace(path, second, card="another card")
    return path


def version(record: Path) -> str:
    return release.load(record).model.version


def test_the_record_goes_back_and_is_deployed(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed: list[str] = []
    monkeypatch.setattr(module, "deploy", lambda _settings, *, record: deployed.append(version(record)))
    rollback(LOCAL, record=record)
    assert deployed == ["3"]


def test_a_failed_deployment_says_how_to_go_on(
    record: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DeliveryError("the stack failed")

    monkeypatch.setattr(module, "deploy", fail)
    with pytest.raises(DeliveryError, match="the stack failed"):
        rollback(LOCAL, record=record)
    assert version(record) == "3"
    assert "scripts/deploy --env local" in capsys.readouterr().err


def test_without_a_release_before_nothing_changes(record: Path) -> None:
    release.previous_path(record).unlink()
    with pytest.raises(DeliveryError, match="no release before it"):
        rollback(LOCAL, record=record)
    assert version(record) == "9"


def test_a_promotion_that_was_interrupted_is_not_taken_for_the_release_before(record: Path) -> None:
    shutil.copy(record, release.previous_path(record))
    with pytest.raises(DeliveryError, match="are the same"):
        rollback(LOCAL, record=record)


def test_an_absent_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(release.ReleaseError, match=r"absent\.json"):
        rollback(LOCAL, record=tmp_path / "absent.json")
