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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from infra.names import PROJECT
from infra.paths import RELEASES, ROOT
from scripts.console import DeliveryError, echo
from scripts.delivery.program import output

if TYPE_CHECKING:
    from collections.abc import Iterator

REMOTE = "origin"
INSIDE = RELEASES.relative_to(ROOT)


def remote_head(repository: Path) -> str:
    """Return the commit at the head of the remote's default branch."""
    found = _git(repository, "ls-remote", REMOTE, "HEAD")
    if not found:
        raise DeliveryError(f"{REMOTE} has no branch yet: push the project first.")
    return found.split()[0]


@contextmanager
def proposed(
    repository: Path, branch: str, *, subject: str, body: str, inside: Path = INSIDE
) -> Iterator[Path]:
    """Yield a copy of `inside` as the remote has it now, and push its changes as a branch."""
    base, place = remote_head(repository), _git(repository, "rev-parse", "--absolute-git-dir")
    _git(repository, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", REMOTE, base)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        (tree / inside).mkdir(parents=True)
        own = {"GIT_DIR": place, "GIT_INDEX_FILE": f"{scratch}/index", "GIT_WORK_TREE": str(tree)}
        git = partial(_git, tree, **own)
        git("read-tree", base)
        files = git("ls-files", "-z", "--", str(inside)).split("\0")
        git("checkout-index", "--", *filter(None, files))
        yield tree / inside
        # Forced: those of `local` are ignored, and are wanted where they are asked for.
        git("add", "--force", "--all", "--", str(inside))
        identity: dict[str, str] = {}
        try:
            git("var", "GIT_COMMITTER_IDENT")
        except DeliveryError:  # a runner's git has none
            for who in ("AUTHOR", "COMMITTER"):
                identity |= {f"GIT_{who}_NAME": PROJECT, f"GIT_{who}_EMAIL": f"{PROJECT}@localhost"}
        commit = git("commit-tree", git("write-tree"), "-p", base, "-m", subject, "-m", body, **identity)
        git("push", "--quiet", REMOTE, f"{commit}:refs/heads/{branch}")


def open_pull_request(repository: Path, branch: str, *, title: str, body: str) -> None:
    """Open a pull request with `gh`; where it is not installed, print its command."""
    command = ["gh", "pr", "create", "--head", branch, "--title", title, "--body", body]
    line = shlex.join(command)
    if shutil.which("gh") is None:
        echo(f"  gh is not here: open the pull request at the remote, or run\n  {line}")
        return
    quiet = {**os.environ, "GH_PROMPT_DISABLED": "1"}
    done = subprocess.run(command, cwd=repository, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip()
        raise DeliveryError(f"{branch} is pushed, but gh opened no pull request: {reason}\n  {line}")
    echo(f"  {done.stdout.strip()}")


def _git(folder: Path, *arguments: str, **variables: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **variables}
    return output(f"git {arguments[0]}", ["git", *arguments], cwd=folder, env=environment).strip()
