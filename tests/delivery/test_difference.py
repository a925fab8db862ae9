"""A pull request's diff says what changes in the templates, and needs no AWS for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra import config, release
from scripts.delivery import difference
from scripts.delivery.console import DeliveryError
from scripts.delivery.difference import LONGEST_COMMENT, Difference, differences, markdown

ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, check=True)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What synth reads, under git, as the tree that `difference` works on."""
    root = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "releases")
    for folder in ("infra", "container"):
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    for name in ("cdk.json", ".gitignore"):
        shutil.copy(ROOT / name, root)
    for installed in (".venv", "node_modules"):
        (root / installed).symlink_to(ROOT / installed)
    git(root, "init", "--quiet")
    git(root, "add", "infra", "container", "cdk.json", ".gitignore")
    git(root, "commit", "--quiet", "-m", "base")
    monkeypatch.setattr(difference, "ROOT", root)
    monkeypatch.setattr(config, "ENVIRONMENTS", root / "infra" / "environments")
    monkeypatch.setattr(difference, "RELEASES", root / "infra" / "releases")
    monkeypatch.setattr(release, "RELEASES", root / "infra" / "releases")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    return root


def test_what_a_setting_changes_is_shown_and_the_tree_is_left_as_it_was(clone: Path) -> None:
    path = clone / "infra" / "environments" / "dev.toml"
    path.write_text(path.read_text().replace("retain_data = false", "retain_data = true"))
    (registry,) = differences(["dev"], against="HEAD")["dev"]
    assert registry.stack == "tumor-detector-dev-registry"
    assert "AWS::S3::Bucket" in registry.text
    assert "Retain" in registry.text
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1


def test_without_a_change_it_says_so(clone: Path) -> None:
    found = differences(["dev"], against="HEAD")
    assert [each.text for each in found["dev"]] == [""]
    assert "**dev**: no change" in markdown(found, against="HEAD")


def test_a_commit_that_does_not_exist_is_said(clone: Path) -> None:
    with pytest.raises(DeliveryError, match="absent"):
        differences(["dev"], against="absent")


def test_a_comment_is_never_longer_than_github_takes() -> None:
    found = {"dev": [Difference("stack", "line\n" * LONGEST_COMMENT)]}
    written = markdown(found, against="main")
    assert len(written) < 65_536
    assert "Cut here" in written
    assert written.count("````") % 2 == 0
