"""The installed ministack has the names that the patches need, and they need all that they list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from infra.emulator.ministack_patches import contract
from infra.local_aws import LocalAwsError
from infra.paths import ROOT

FOLDER = Path(contract.__file__).parent


@pytest.mark.parametrize("patch", sorted(path.stem for path in FOLDER.glob("[a-z]*.py")))
def test_each_private_name_that_a_patch_uses_is_in_its_contract(patch: str) -> None:
    tree = ast.parse((FOLDER / f"{patch}.py").read_text())
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}".removeprefix("ministack.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack")
        for alias in node.names
    }
    used = {
        f"{modules[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        if node.attr.startswith("_") or isinstance(node.ctx, ast.Store)
    }
    assert used <= contract.CONTRACT.get(patch, {}).keys()


def test_what_ministack_no_longer_has_is_named_with_the_file_that_needs_it() -> None:
    file = r"see infra/emulator/ministack_patches/ecr\.py"
    with pytest.raises(LocalAwsError) as caught:
        contract.check({"ecr": {"services.ecr._gone": "(a, b)", "services.ecr._repo_uri": "(repository)"}})
    gone, changed = str(caught.value).splitlines()
    assert re.fullmatch(
        rf"ministack \S+ no longer has services\.ecr\._gone\(a, b\) \(it is gone\); {file}", gone
    )
    assert re.search(rf"_repo_uri\(repository\) \(it is services\.ecr\._repo_uri\(name\)\); {file}", changed)


def test_nothing_else_imports_ministack() -> None:
    files = [
        path for top in ("infra", "model", "container", "scripts") for path in (ROOT / top).rglob("*.py")
    ]
    imports = re.compile(r"^\s*(from|import) ministack\b", re.MULTILINE)
    found = {path.parent for path in files if imports.search(path.read_text())}
    assert found == {FOLDER}
