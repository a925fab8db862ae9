"""What a change would do to the templates: this tree's against those of another commit, without any AWS.

A pull request gets its diff without credentials that way: the code under review runs there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra import config
from infra.release import RELEASES, record_path
from scripts.delivery.cdk import CDK, ROOT
from scripts.delivery.console import DeliveryError, step
from scripts.delivery.synthesis import synthesize

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a comment on GitHub may hold is 65,536 characters; the rest is for the frame around the diffs.
LONGEST_COMMENT = 60_000
_EMPTY = '{"Resources": {}}'
_SUFFIX = ".template.json"


@dataclass(frozen=True)
class Difference:
    """How one stack differs: the CDK's words, or none where it does not."""

    stack: str
    text: str


def differences(environments: list[str], *, against: str) -> dict[str, list[Difference]]:
    """Compare every stack of each environment with what another commit declares.

    Parameters
    ----------
    against
        A commit, branch or tag of this repository.

    Raises
    ------
    DeliveryError
        If either tree cannot be synthesized.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder, _checked_out(against, Path(folder) / "tree") as base:
        for environment in environments:
            with step(f"comparing {environment} with {against}"):
                before, after = Path(folder) / f"{environment}-before", Path(folder) / f"{environment}-after"
                _synthesize(environment, ROOT, to=after)
                if (base / config.ENVIRONMENTS.relative_to(ROOT) / f"{environment}.toml").is_file():
                    _synthesize(environment, base, to=before)
                found[environment] = list(_compare(before, after))
    return found


def markdown(found: dict[str, list[Difference]], *, against: str) -> str:
    """Write differences as a comment for people, cut where GitHub would refuse it."""
    parts = [f"### What this changes on AWS, against `{against}`"]
    for environment, stacks in found.items():
        changed = [each for each in stacks if each.text]
        parts.append(f"**{environment}**: {'no change' if not changed else f'{len(changed)} stacks'}")
        parts += [
            f"<details><summary>{each.stack}</summary>\n\n````\n{each.text}\n````\n</details>"
            for each in changed
        ]
    whole = "\n\n".join(parts)
    if len(whole) <= LONGEST_COMMENT:
        return whole + "\n"
    return f"{whole[:LONGEST_COMMENT]}\n````\n</details>\n\n*Cut here: `scripts/diff` shows all of it.*\n"


def _synthesize(environment: str, root: Path, *, to: Path) -> None:
    """Synthesize a tree's environment with the release record that the same tree holds."""
    record = root / RELEASES.relative_to(ROOT) / record_path(environment).name
    # Its own code reads its own settings; of ours only the name and whether it is a laptop's are used.
    synthesize(config.load(environment), record=record if record.is_file() else None, to=to, root=root)


def _compare(before: Path, after: Path) -> Iterator[Difference]:
    """Yield each stack's difference, those that come or go too."""
    stacks = {
        path.name.removesuffix(_SUFFIX) for folder in (before, after) for path in folder.glob(f"*{_SUFFIX}")
    }
    for stack in sorted(stacks):
        old, new = before / f"{stack}{_SUFFIX}", after / f"{stack}{_SUFFIX}"
        if not new.exists():
            yield Difference(stack, "The stack is no longer declared; what is deployed of it would stay.")
            continue
        if not old.exists():
            old.parent.mkdir(exist_ok=True)
            old.write_text(_EMPTY)
        yield Difference(stack, _cdk_diff(stack, old=old, assembly=after))


def _cdk_diff(stack: str, *, old: Path, assembly: Path) -> str:
    """Return what `cdk diff` says of two templates; it asks no AWS for that."""
    command = [CDK, "diff", stack, "--app", assembly, "--template", old, "--no-notices", "--no-color"]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "CDK_DISABLE_CLI_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DeliveryError(f"`cdk diff {stack}` failed:\n{done.stderr or done.stdout}")
    said = done.stdout + done.stderr
    if "There were no differences" in said:
        return ""
    kept = [line for line in said.splitlines() if not line.startswith((f"Stack {stack}", "✨"))]
    return "\n".join(kept).strip()


@contextlib.contextmanager
def _checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out beside this tree, with this one's installed environment."""
    _git("worktree", "add", "--detach", "--quiet", str(folder), commit)
    try:
        for installed in (".venv", "node_modules"):
            (folder / installed).symlink_to(ROOT / installed)
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeliveryError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")
