"""Which commit an action's version tag names; a tag can be moved later, a commit cannot."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from scripts.delivery.console import DeliveryError, say

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://github.com"
_BY_TAG = re.compile(r"uses: (?P<action>[\w.-]+/[\w.-]+)@(?P<tag>v[\w.]+)\b(?! *#)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def pin(workflows: Path, *, server: str = SERVER) -> None:
    """Rewrite every workflow so that it names its actions by commit, with the tag beside it.

    What is pinned already stays as it is.

    Raises
    ------
    DeliveryError
        If a tag cannot be found; no file was changed then.
    """
    texts = {path: path.read_text() for path in sorted(workflows.glob("*.yml"))}
    wanted = {(match["action"], match["tag"]) for text in texts.values() for match in _BY_TAG.finditer(text)}
    commits = {(action, tag): _commit(f"{server}/{action}", tag) for action, tag in sorted(wanted)}
    for (action, tag), commit in commits.items():
        say(f"  {action} {tag} is {commit}")
    for path, text in texts.items():
        path.write_text(
            _BY_TAG.sub(
                lambda match: (
                    f"uses: {match['action']}@{commits[match['action'], match['tag']]} # {match['tag']}"
                ),
                text,
            )
        )


def _commit(repository: str, tag: str) -> str:
    done = subprocess.run(
        ["git", "ls-remote", "--tags", repository, tag, f"{tag}^{{}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DeliveryError(f"{repository} cannot be asked for its tags: {done.stderr.strip()}")
    found = dict(line.split("\t")[::-1] for line in done.stdout.splitlines())
    # An annotated tag is an object of its own; the line with ^{} says which commit it stands for.
    commit = found.get(f"refs/tags/{tag}^{{}}") or found.get(f"refs/tags/{tag}")
    if commit is None or not _COMMIT.fullmatch(commit):
        raise DeliveryError(f"{repository} has no tag {tag}.")
    return commit
