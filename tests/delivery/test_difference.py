"""The diff of a pull request, made without AWS."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra import config, release
from infra.paths import ROOT
from scripts.commands import diff
from scripts.commands.diff import LONGEST_COMMENT, differences, markdown
from scripts.console import DeliveryError
from tests.git import git
from tests.infra.synthesis import copy_sources, record_for

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with what synth reads, in place of this tree."""
    root = tmp_path / "clone"
    copy_sources(root)
    (root / "infra" / "releases").mkdir()
    record_for("dev", root / "infra" / "releases")
    shutil.copy(ROOT / ".gitignore", root)
    git(root, "init", "--quiet")
    git(root, "add", "infra", "container", "cdk.json", ".gitignore")
    git(root, "commit", "--quiet", "-m", "base")
    monkeypatch.setattr(diff, "ROOT", root)
    monkeypatch.setattr(config, "ENVIRONMENTS", root / "infra" / "environments")
    monkeypatch.setattr(diff, "RELEASES", root / "infra" / "releases")
    monkeypatch.setattr(release, "RELEASES", root / "infra" / "releases")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    return root


@pytest.mark.slow
def test_changed_settings_are_shown_by_stack_also_where_it_depends_on_another(clone: Path) -> None:
    path = clone / "infra" / "environments" / "dev.toml"
    changes = {"retain_data = false": "retain_data = true", "memory_mb = 2048": "memory_mb = 3072"}
    for before, after in changes.items():
        path.write_text(path.read_text().replace(before, after))
    found = {stack: text for stack, text in differences(["dev"], against="HEAD")["dev"].items() if text}
    assert "Retain" in found["tumor-detector-dev-registry"]
    assert "3072" in found["tumor-detector-dev-endpoint"]


def test_a_killed_diff_leaves_the_repository_as_it_was(clone: Path) -> None:
    def status() -> list[str]:
        return [git(clone, "worktree", "list"), git(clone, "status", "--short", "--ignored")]

    before = status()
    kill = "import os, signal\ndiff._synthesize = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
    program = (
        "from pathlib import Path\nfrom scripts.commands import diff\n"
        f"diff.ROOT = Path({str(clone)!r})\n{kill}diff.differences(['dev'], against='HEAD')"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert status() == before


@pytest.mark.slow
def test_no_change_is_reported(clone: Path) -> None:
    found = differences(["dev"], against="HEAD")
    assert set(found["dev"].values()) == {""}
    assert "**dev**: no change" in markdown(found, against="HEAD")


def test_a_missing_commit_is_named(clone: Path) -> None:
    with pytest.raises(DeliveryError, match="absent"):
        differences(["dev"], against="absent")


def test_a_comment_is_truncated_to_githubs_limit() -> None:
    written = markdown({"dev": {"stack": "line\n" * LONGEST_COMMENT}}, against="main")
    assert len(written) < 65_536
    assert "Truncated" in written
    assert written.count("````") % 2 == 0
