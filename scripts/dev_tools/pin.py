"""Pin what a tag names today: the workflows' actions to commits, the serving image's base to a digest."""

from __future__ import annotations

import argparse
import re
import shutil
from typing import TYPE_CHECKING

from infra.paths import CONTAINER, ROOT
from scripts.cli import cli_errors
from scripts.console import DeliveryError, echo
from scripts.delivery.program import output

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://github.com"
WORKFLOWS = ROOT / ".github" / "workflows"
PLATFORM = "linux/amd64"  # the image's; the digest is that of the index of all platforms
_BY_TAG = re.compile(r"uses: (?P<action>[\w.-]+/[\w.-]+)@(?P<tag>v[\w.]+)\b(?! *#)")
_USES = re.compile(r"^[ -]*uses: *['\"]?(?P<what>(?!\./)[^\s#'\"]+)", re.MULTILINE)
_BASE = re.compile(r"^ARG BASE_IMAGE=(\S+)$", re.MULTILINE)
_PINNED = re.compile(r"@([0-9a-f]{40}|sha256:[0-9a-f]{64})$")
_DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


def main(arguments: list[str] | None = None) -> None:
    """Pin the actions or the base image, or check that the actions are pinned."""
    parser = argparse.ArgumentParser(prog="scripts/dev pin", description=__doc__)
    parser.add_argument("what", choices=("actions", "base", "check"), help="check: refuse unpinned actions")
    parser.add_argument("image", nargs="?", help="base image as NAME:TAG (default: the Dockerfile's)")
    options = parser.parse_args(arguments)
    with cli_errors():
        if options.what == "actions":
            pin_actions(WORKFLOWS)
        elif options.what == "check":
            check_actions(WORKFLOWS)
        else:
            pin_base(CONTAINER / "Dockerfile", image=options.image)


def pin_actions(workflows: Path, *, server: str = SERVER) -> None:
    """Name each action by its tag's commit, with the tag in a comment; change no file if a tag is missing."""
    texts = {path: path.read_text() for path in sorted(workflows.glob("*.yml"))}
    wanted = {(match["action"], match["tag"]) for text in texts.values() for match in _BY_TAG.finditer(text)}
    commits = {(action, tag): _commit(f"{server}/{action}", tag) for action, tag in sorted(wanted)}
    for (action, tag), commit in commits.items():
        echo(f"  {action} {tag} is {commit}")

    def pinned(match: re.Match[str]) -> str:
        return f"uses: {match['action']}@{commits[match['action'], match['tag']]} # {match['tag']}"

    for path, text in texts.items():
        path.write_text(_BY_TAG.sub(pinned, text))


def check_actions(workflows: Path) -> None:
    """Refuse workflows with an action or image that is not named by a commit or digest."""
    unpinned = [
        f"{path.name}: {match['what']}"
        for path in sorted([*workflows.glob("*.yml"), *workflows.glob("*.yaml")])
        for match in _USES.finditer(path.read_text())
        if not _PINNED.search(match["what"])
    ]
    if unpinned:
        raise DeliveryError(
            "No AWS credentials for workflows whose actions can be changed by others:\n  "
            + "\n  ".join(unpinned)
            + "\nRun `scripts/dev pin actions` where GitHub can be reached, and commit its changes."
        )


def _commit(repository: str, tag: str) -> str:
    command = ["git", "ls-remote", "--tags", repository, tag, f"{tag}^{{}}"]
    tags = output(f"Reading the tags of {repository}", command)
    found = dict(line.split("\t")[::-1] for line in tags.splitlines())
    # An annotated tag is an object of its own; the line with ^{} names its commit.
    commit = found.get(f"refs/tags/{tag}^{{}}") or found.get(f"refs/tags/{tag}")
    if commit is None:
        raise DeliveryError(f"{repository} has no tag {tag}.")
    return commit


def newest_base(dockerfile: Path, *, image: str | None = None) -> tuple[str, str]:
    """Return the Dockerfile's base image, and its name with the digest that its tag has now."""
    found = _BASE.findall(dockerfile.read_text())
    if len(found) != 1:
        raise DeliveryError(f"{dockerfile} has {len(found)} lines `ARG BASE_IMAGE=IMAGE`; one is expected.")
    tagged = (image or found[0]).partition("@")[0]
    return found[0], f"{tagged}@{_digest(tagged)}"


def write_base(dockerfile: Path, pinned: str) -> None:
    """Write a base image into the Dockerfile."""
    dockerfile.write_text(_BASE.sub(f"ARG BASE_IMAGE={pinned}", dockerfile.read_text()))


def pin_base(dockerfile: Path, *, image: str | None = None) -> None:
    """Write into the Dockerfile the digest that the registry has for the base image's tag now."""
    before, pinned = newest_base(dockerfile, image=image)
    if pinned == before:
        echo(f"{pinned} is the newest.")
        return
    write_base(dockerfile, pinned)
    echo(f"{dockerfile.name}: {before} -> {pinned}\nBuild and test with it, then commit the line.")


def _digest(image: str) -> str:
    if shutil.which("docker") is None:
        raise DeliveryError("There is no docker command to pull the image with: apt-get install docker.io.")
    pull = f"Nothing was changed: docker pull {image}"
    digest = _DIGEST.search(output(pull, ["docker", "pull", "--platform", PLATFORM, image]))
    if digest is None:
        raise DeliveryError(f"{pull} printed no digest")
    return digest[1]
