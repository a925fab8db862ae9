"""Actions are pinned to the commits that their tags name, lightweight tags and annotated ones."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.delivery.console import DeliveryError
from scripts.delivery.pinning import pin

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOW = """steps:
  - uses: acme/light@v1
  - uses: acme/annotated@v2
  - uses: acme/pinned@{pinned} # v3
  - uses: ./.github/workflows/own.yml
"""
PINNED = "a" * 40


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Two repositories with a tag each, reached by their paths."""
    for name, tag in (("light", ["v1"]), ("annotated", ["-a", "v2", "-m", "two"])):
        folder = tmp_path / "server" / "acme" / name
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
        git(folder, "commit", "--quiet", "--allow-empty", "-m", name)
        git(folder, "tag", *tag)
    return tmp_path / "server"


@pytest.fixture
def workflows(tmp_path: Path) -> Path:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "one.yml").write_text(WORKFLOW.format(pinned=PINNED))
    return folder


def test_each_tag_becomes_its_commit_with_the_tag_beside_it(server: Path, workflows: Path) -> None:
    light, annotated = (git(server / "acme" / name, "rev-parse", "HEAD") for name in ("light", "annotated"))
    pin(workflows, server=str(server))
    pinned = (workflows / "one.yml").read_text()
    assert f"uses: acme/light@{light} # v1\n" in pinned
    assert f"uses: acme/annotated@{annotated} # v2" in pinned
    assert f"uses: acme/pinned@{PINNED} # v3\n" in pinned
    assert "uses: ./.github/workflows/own.yml\n" in pinned


def test_a_second_time_nothing_changes(server: Path, workflows: Path) -> None:
    pin(workflows, server=str(server))
    once = (workflows / "one.yml").read_text()
    pin(workflows, server=str(server))
    assert (workflows / "one.yml").read_text() == once


@pytest.mark.parametrize(
    ("line", "reason"), [("acme/light@v9", "no tag v9"), ("acme/absent@v1", "cannot be asked")]
)
def test_what_cannot_be_found_changes_no_file(server: Path, workflows: Path, line: str, reason: str) -> None:
    (workflows / "two.yml").write_text(f"uses: {line}\n")
    before = {path: path.read_text() for path in workflows.iterdir()}
    with pytest.raises(DeliveryError, match=reason):
        pin(workflows, server=str(server))
    assert {path: path.read_text() for path in workflows.iterdir()} == before
