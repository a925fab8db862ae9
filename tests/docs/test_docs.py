"""The documents name files, links and commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README_LINES = 150
README_COLUMNS = 120
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"`((?:tests|infra|scripts|model|container|docs|\.github)/[\w./-]*\w)`")
_COMMAND = re.compile(
    r"(?<![\w/.])scripts/([a-z]+)(?![\w./|-])((?: (?:--[a-z-]+|lock|contract|pin|base-image))*)"
)
_CODE = ("infra", "model", "container", "scripts", ".github")
_PLACEHOLDERS = {"scripts/NAME", "scripts/commands/NAME.py"}
# Written by a promotion, or ignored by git: they need not exist in a clone.
_MADE = re.compile(r"infra/releases(/|$)|infra/environments/?$")


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in DOCUMENTS]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    linked = {target for target in _LINK.findall(text) if not (path.parent / target).exists()}
    named = {
        name
        for name in set(_PATH.findall(text)) - _PLACEHOLDERS
        if not _MADE.match(name) and not (ROOT / name).exists()
    }
    assert linked | named == set()


def test_readme_is_one_page() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    prose = [line for line in lines if not line.startswith(("|", "!["))]
    assert [line for line in prose if len(line) > README_COLUMNS] == []


@pytest.mark.real
@pytest.mark.parametrize(
    "command", sorted({name for _, text in texts() for name, _ in _COMMAND.findall(text)})
)
def test_commands_and_their_options_exist(command: str) -> None:
    """Every option that a document gives a command is one that its ``--help`` lists."""
    options = {
        word
        for _, text in texts()
        for name, words in _COMMAND.findall(text)
        if name == command
        for word in shlex.split(words)
    }
    tools = [word for word in options if not word.startswith("-")]
    helped = "".join(help_of(command, *tool) for tool in [[], *([tool] for tool in tools)])
    assert {option for option in options if option not in helped} == set()


def help_of(command: str, *arguments: str) -> str:
    """Return what ``scripts/COMMAND ... --help`` prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"from scripts.commands.{command} import main; main()", *arguments, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_protection_names_a_test_that_holds_it() -> None:
    section = (ROOT / "SECURITY.md").read_text().split("## What is protected")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "| By what |" not in line]
    assert rows
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row.split("|")[3])
        assert named, row
        assert all("def test_" in (ROOT / path).read_text() for path in named)


def test_each_unverified_claim_of_the_code_has_its_proof_in_the_protocol() -> None:
    found = subprocess.run(
        ["git", "grep", "-IliE", "(un|not |not been )verified", "--", *_CODE],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert found
    protocol = (ROOT / "docs" / "first-account.md").read_text()
    assert [path for path in found if f"`{path.rpartition('/')[2]}`" not in protocol] == []
