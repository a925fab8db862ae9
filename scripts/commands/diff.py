"""Synthesize environments and print in Markdown how they differ from another commit's, without AWS access."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from subprocess import STDOUT
from typing import TYPE_CHECKING

from infra import config
from infra.paths import RELEASES, ROOT
from infra.release import record_path
from scripts.cli import command_parser
from scripts.commands import common
from scripts.console import step
from scripts.delivery.cdk import CDK, environment, synthesize
from scripts.delivery.program import output

if TYPE_CHECKING:
    from collections.abc import Iterator

# GitHub takes comments of up to 65,536 characters; the rest is for the text around the diffs.
LONGEST_COMMENT = 60_000
_EMPTY = '{"Resources": {}}'
_SUFFIX = ".template.json"


def main(arguments: list[str] | None = None) -> None:
    """Print the differences."""
    parser = command_parser("diff", __doc__)
    parser.add_argument("--against", required=True, metavar="COMMIT", help="a commit, branch or tag")
    parser.add_argument(
        "--env", action="append", metavar="ENV", help="an environment (may be repeated; default: all)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the copy of the other commit is removed
    with common.cli_errors():
        found = differences(options.env or config.known_environments(), against=options.against)
        print(markdown(found, against=options.against), end="")


def differences(environments: list[str], *, against: str) -> dict[str, dict[str, str]]:
    """Compare every stack of each environment with the one that another commit declares.

    A pull request gets its diff this way, without credentials: the code under review runs there.

    Return by environment and stack what `cdk diff` prints, empty for a stack that does not differ.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        base = _extracted(against, to=Path(folder))
        for name in environments:
            with step(f"comparing {name} with {against}"):
                before, after = Path(folder) / f"{name}-before", Path(folder) / f"{name}-after"
                _synthesize(name, ROOT, to=after)
                if (base / config.ENVIRONMENTS.relative_to(ROOT) / f"{name}.toml").is_file():
                    _synthesize(name, base, to=before)
                found[name] = dict(_compare(before, after))
    return found


def markdown(found: dict[str, dict[str, str]], *, against: str) -> str:
    """Render differences as a comment, truncated to what GitHub takes."""
    parts = [f"### What this changes on AWS, against `{against}`"]
    for name, stacks in found.items():
        changed = {stack: text for stack, text in stacks.items() if text}
        parts.append(f"**{name}**: {'no change' if not changed else f'{len(changed)} stacks'}")
        parts += [
            f"<details><summary>{stack}</summary>\n\n````\n{text}\n````\n</details>"
            for stack, text in changed.items()
        ]
    whole = "\n\n".join(parts)
    if len(whole) <= LONGEST_COMMENT:
        return whole + "\n"
    return f"{whole[:LONGEST_COMMENT]}\n````\n</details>\n\n*Truncated: `scripts/diff` shows all of it.*\n"


def _synthesize(name: str, root: Path, *, to: Path) -> None:
    """Synthesize a tree's environment with the release record that the same tree holds."""
    record = root / RELEASES.relative_to(ROOT) / record_path(name).name
    # That tree's code reads its own settings; of ours only the name and `local` are used.
    synthesize(config.load(name), record=record if record.is_file() else None, to=to, root=root)


def _compare(before: Path, after: Path) -> Iterator[tuple[str, str]]:
    """Yield the difference of each stack, added and removed ones included."""
    stacks = {
        path.name.removesuffix(_SUFFIX) for folder in (before, after) for path in folder.glob(f"*{_SUFFIX}")
    }
    for stack in sorted(stacks):
        old, new = before / f"{stack}{_SUFFIX}", after / f"{stack}{_SUFFIX}"
        if not new.exists():
            yield stack, "The stack is no longer declared; if it is deployed, it stays."
            continue
        if not old.exists():
            old.parent.mkdir(exist_ok=True)
            old.write_text(_EMPTY)
        yield stack, _cdk_diff(stack, old=old, assembly=after)


def _cdk_diff(stack: str, *, old: Path, assembly: Path) -> str:
    """Return what `cdk diff` prints about two templates, for which it needs no AWS."""
    # `--template` is for one stack, and without `--exclusively` the selection includes what it depends on.
    options = ("--exclusively", "--app", assembly, "--template", old, "--no-notices", "--no-color")
    variables = environment(user_configuration=False)
    printed = output(
        f"cdk diff {stack}", [CDK, "diff", stack, *options], cwd=ROOT, env=variables, stderr=STDOUT
    )
    if "There were no differences" in printed:
        return ""
    kept = [line for line in printed.splitlines() if not line.startswith((f"Stack {stack}", "✨"))]
    return "\n".join(kept).strip()


def _extracted(commit: str, *, to: Path) -> Path:
    """Extract a commit's files, with links to what is installed in this tree.

    Unlike a work tree it leaves nothing in the repository when the command is killed.
    """
    tree, archive = to / "tree", to / "tree.tar"
    tree.mkdir()
    output("git archive", ["git", "archive", f"--output={archive}", commit], cwd=ROOT)
    output("tar", ["tar", "-xf", archive, "-C", tree])
    for installed in (".venv", "node_modules"):
        (tree / installed).symlink_to(ROOT / installed)
    return tree
