"""One commit on the remote's default branch, pushed as a branch of its own.

Git's plumbing with an index and a folder of its own: the user's checkout, index and branches stay as they
are, and a run that is killed leaves nothing but unreferenced objects.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.paths import RELEASES, ROOT
from scripts.console import DeliveryError, echo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REMOTE = "origin"
INSIDE = RELEASES.relative_to(ROOT)
_AUTHOR = {"NAME": "tumor-detector", "EMAIL": "tumor-detector@localhost"}


def remote_head(repository: Path) -> str:
    """Return the commit at the head of the remote's default branch."""
    found = _git(repository, "ls-remote", REMOTE, "HEAD")
    if not found:
        raise DeliveryError(f"{REMOTE} has no branch yet: push the project first.")
    return found.split()[0]


@dataclass(frozen=True)
class Proposal:
    """A commit in the making; `releases` holds the release records of the remote's default branch."""

    repository: Path
    base: str
    folder: Path

    @property
    def releases(self) -> Path:
        """Folder of the records, to be changed."""
        return self.folder / INSIDE

    def push(self, branch: str, *, subject: str, body: str) -> None:
        """Commit what was changed and push it as a new branch."""
        # Forced: those of `local` are ignored, and are wanted where they are asked for.
        self.git("add", "--force", "--all", "--", str(INSIDE))
        tree = self.git("write-tree")
        commit = self.git(
            "commit-tree", tree, "-p", self.base, "-m", subject, "-m", body, more=self._identity()
        )
        self.git("push", "--quiet", REMOTE, f"{commit}:refs/heads/{branch}")

    def git(self, *arguments: str, more: Mapping[str, str] | None = None) -> str:
        """Run git on this proposal's own index and folder."""
        own = {
            "GIT_DIR": _git(self.repository, "rev-parse", "--absolute-git-dir"),
            "GIT_INDEX_FILE": str(self.folder.parent / "index"),
            "GIT_WORK_TREE": str(self.folder),
        }
        return _git(self.folder, *arguments, environment={**own, **(more or {})})

    def _identity(self) -> dict[str, str]:
        """Name an author where the user's git has none, as on a runner."""
        try:
            self.git("var", "GIT_COMMITTER_IDENT")
        except DeliveryError:
            return {
                f"GIT_{who}_{part}": text for who in ("AUTHOR", "COMMITTER") for part, text in _AUTHOR.items()
            }
        return {}


@contextmanager
def proposed(repository: Path) -> Iterator[Proposal]:
    """Begin a commit on what the remote has now."""
    base = remote_head(repository)
    _git(repository, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", REMOTE, base)
    with tempfile.TemporaryDirectory() as scratch:
        proposal = Proposal(repository, base, Path(scratch) / "tree")
        proposal.releases.mkdir(parents=True)
        proposal.git("read-tree", base)
        if files := proposal.git("ls-files", "-z", "--", str(INSIDE)).split("\0"):
            proposal.git("checkout-index", "--", *filter(None, files))
        yield proposal


def open_pull_request(repository: Path, branch: str, *, title: str, body: str) -> None:
    """Open a pull request with `gh`; where it is not installed, print its command."""
    command = ["gh", "pr", "create", "--head", branch, "--title", title, "--body", body]
    if shutil.which("gh") is None:
        echo(f"  gh is not here: open the pull request at the remote, or run\n  {shlex.join(command)}")
        return
    environment = {**os.environ, "GH_PROMPT_DISABLED": "1"}
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DeliveryError(
            f"The branch {branch} is pushed, but gh opened no pull request: {done.stderr.strip()}\n"
            f"  {shlex.join(command)}"
        )
    echo(f"  {done.stdout.strip()}")


def _git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder, env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        reason = done.stderr.strip() or f"exit status {done.returncode}"
        raise DeliveryError(f"git {arguments[0]} failed: {reason}")
    return done.stdout.strip()
