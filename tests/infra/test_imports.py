"""The house's order: imports go one way, and every file can be read at a sitting."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_FILE = 400
# One file on purpose, to be copied; what it is made of is in scripts/delivery/contract, and is read there.
GENERATED = {"scripts/client.py"}
PARTS = {"scripts", "infra", "model", "container", "tests"}
# What each folder may import of the repository; the longest matching folder counts.
MAY_IMPORT = {
    "scripts": {"scripts", "infra", "model", "container"},
    "infra": {"infra"},
    "infra/gateway": set[str](),  # a Lambda: its own folder is its root
    "model": {"model", "container"},
    "container": {"container"},
}
# AWS is asked at run time, never at synth.
MAY_CALL_AWS = ("scripts", "infra/local", "infra/gateway", "infra/canary", "tests")


def tracked(*patterns: str) -> list[str]:
    """Files that are in git or about to be, as paths from the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.splitlines() if (ROOT / path).is_file()]


def sources() -> list[str]:
    """Every Python file, the executable ones without extension too."""
    bare = [path for path in tracked("scripts") if "." not in path.rsplit("/", 1)[-1]]
    return tracked("*.py") + [path for path in bare if (ROOT / path).read_text().startswith("#!")]


def imported(path: str, *, for_types_only: bool = True) -> Iterator[str]:
    """Yield what a file imports, in full: relative imports too, and those within functions.

    `for_types_only` says whether to count what only a type checker imports.
    """
    package = path.split("/")[:-1]
    tree = ast.parse((ROOT / path).read_text(), filename=path)
    if not for_types_only:
        tree = _AtRunTime().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])])


class _AtRunTime(ast.NodeTransformer):
    """Leaves out the blocks under `if TYPE_CHECKING`."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def folder_of(path: str, folders: set[str]) -> str | None:
    """Return the longest of `folders` that holds `path`."""
    return max((folder for folder in folders if path.startswith(f"{folder}/")), key=len, default=None)


def test_imports_go_one_way() -> None:
    against = []
    for path in sources():
        folder = folder_of(path, set(MAY_IMPORT))
        if folder is None:
            continue
        parts = {name.split(".")[0] for name in imported(path)} & PARTS
        against += [f"{path} imports {part}" for part in sorted(parts - MAY_IMPORT[folder])]
    assert against == []


def test_the_lambda_imports_the_standard_library_boto3_and_itself() -> None:
    own = {path.rsplit("/", 1)[-1].removesuffix(".py") for path in tracked("infra/gateway/*.py")}
    assert "handler" in own
    allowed = own | sys.stdlib_module_names | {"boto3", "botocore"}
    assert own.isdisjoint(sys.stdlib_module_names), "a module of ours hides one of Python's"
    against = [
        f"{path} imports {name}"
        for path in tracked("infra/gateway/*.py")
        for name in imported(path, for_types_only=False)
        if name.split(".")[0] not in allowed
    ]
    assert against == []


def test_synth_asks_aws_nothing() -> None:
    against = [
        path
        for path in sources()
        if path.startswith("infra/")
        and not path.startswith(tuple(f"{folder}/" for folder in MAY_CALL_AWS))
        and {name.split(".")[0] for name in imported(path)} & {"boto3", "botocore"}
    ]
    assert against == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import model.train", ["model.train"]),
        ("from model import train", ["model"]),
        ("def f():\n    from model.train import train", ["model.train"]),
        ("from .sibling import x", ["infra.local.sibling"]),
        ("from .. import names", ["infra"]),
    ],
)
def test_every_form_of_import_is_seen(
    source: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "infra" / "local").mkdir(parents=True)
    (tmp_path / "infra" / "local" / "file.py").write_text(source)
    assert list(imported("infra/local/file.py")) == expected


def test_what_only_a_type_checker_imports_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "file.py").write_text("import json\nif TYPE_CHECKING:\n    import mypy_boto3\n")
    assert list(imported("file.py")) == ["json", "mypy_boto3"]
    assert list(imported("file.py", for_types_only=False)) == ["json"]


def test_no_file_is_too_long_to_be_read_at_a_sitting() -> None:
    lengths = {
        path: len((ROOT / path).read_text().splitlines())
        for path in {*sources(), *tracked("*.html", "*.md", "*.toml", "*.js", "*.css")}
    }
    too_long = {path: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert too_long.keys() <= GENERATED, too_long
