"""The diff of a pull request, made without AWS."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra import config, release
from infra.paths import ROOT
from scripts.console import DeliveryError
from scripts.delivery import difference
from scripts.delivery.difference import LONGEST_COMMENT, differences, markdown

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=author", "-c", "user.email=author@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with what synth reads, in place of this tree."""
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


def test_a_changed_setting_is_shown_and_no_work_tree_is_left(clone: Path) -> None:
    path = clone / "infra" / "environments" / "dev.toml"
    path.write_text(path.read_text().replace("retain_data = false", "retain_data = true"))
    ((stack, text),) = differences(["dev"], against="HEAD")["dev"].items()
    assert stack == "tumor-detector-dev-registry"
    assert "AWS::S3::Bucket" in text
    assert "Retain" in text
    assert len(git(clone, "worktree", "list").splitlines()) == 1


@pytest.mark.slow
def test_no_change_is_reported(clone: Path) -> None:
    found = differences(["dev"], against="HEAD")
    assert list(found["dev"].values()) == [""]
    assert "**dev**: no change" in markdown(found, against="HEAD")


def test_a_missing_commit_is_named(clone: Path) -> None:
    with pytest.raises(DeliveryError, match="absent"):
        differences(["dev"], against="absent")


def test_a_comment_is_truncated_to_githubs_limit() -> None:
    written = markdown({"dev": {"stack": "line\n" * LONGEST_COMMENT}}, against="main")
    assert len(written) < 65_536
    assert "Truncated" in written
    assert written.count("````") % 2 == 0
