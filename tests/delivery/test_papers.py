"""What the papers name is there, and the licence is the one that is declared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
# Folders whose files a paper may name in backticks; scripts/NAME stands for any of them.
_PATH = re.compile(r"`((?:tests|infra|scripts|model|container|\.github)/(?!NAME`)[\w./-]+\w)")


@pytest.mark.parametrize("paper", PAPERS)
def test_every_file_that_is_named_exists(paper: str) -> None:
    named = set(_PATH.findall((ROOT / paper).read_text()))
    assert named
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_each_row_of_what_is_protected_names_a_test_that_holds_it() -> None:
    section = (ROOT / "SECURITY.md").read_text().split("## What is protected")[1].split("\n## ")[0]
    rows = [
        line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| What |")
    ]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row.split("|")[3])
        assert named, row
        assert all("def test_" in (ROOT / path).read_text() for path in named)


def test_security_says_what_is_not_protected_and_how_to_report() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for heading in ("## How to report", "## What is protected", "## What is not protected"):
        assert heading in text


def test_the_changelog_has_the_form_that_it_names() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_licence_is_the_one_that_the_package_declares() -> None:
    assert json.loads((ROOT / "package.json").read_text())["license"] == "MIT-0"
    assert (ROOT / "LICENSE").read_text().startswith("MIT No Attribution\n")
    assert "the above copyright notice" not in (ROOT / "LICENSE").read_text()  # which plain MIT asks for
