"""Repositories of git, with an author that no configuration needs to name."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Run a command of git in a folder and return what it prints; a failure is an error."""
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def publish(folder: Path, remote: Path) -> None:
    """Commit all of a folder and push it to the branch main of a new bare repository, its remote."""
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(folder, "init", "--quiet")
    git(folder, "checkout", "--quiet", "-B", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "All")
    git(folder, "config", "remote.origin.url", str(remote))
    git(folder, "push", "--quiet", "origin", "main")


def branches(remote: Path) -> list[str]:
    """Return the branches of a remote besides main."""
    listed = git(remote, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()
    return [name for name in listed if name != "main"]
