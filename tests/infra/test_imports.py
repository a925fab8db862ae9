"""The layering of the code: imports go one way, without circles, at run time and for types alike."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import tomllib
from functools import cache
from typing import TYPE_CHECKING

import pytest

from infra.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# What each package may import of the repository beside itself; the longest prefix of a module counts.
MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "scripts": ("infra", "model", "container"),
    "infra": (),
    "model": ("container",),
    "container": (),
    "infra.lambdas.gateway": (),
    "infra.lambdas.canary": (),
}
# Packages and modules from the lowest layer to the highest: each may import itself and those before it.
LAYERS = (
    (
        *("infra.paths", "infra.local_aws", "infra.names", "infra.config", "infra.release"),
        *("infra.constructs", "infra.stacks", "infra.app"),
    ),
    ("model.data", "model.networks", "model.evaluation", "model.release", "model.training"),
)
# What may start the emulator; all other code can run against AWS and must not depend on it.
STARTS_THE_EMULATOR = (
    *("infra.emulator", "scripts.commands.demo", "scripts.delivery.demo", "tests"),
    "scripts.diagnosis.machine",  # looks for what a killed one left
)
PARTS = ("scripts", "infra", "model", "container", "tests")


def parse(source: str, *, package: str) -> Iterator[str]:
    """Yield the full name of each module or member that `source` imports, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def modules() -> dict[str, Path]:
    """Return the Python files that are in git or about to be, by module name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {module_of(path): ROOT / path for path in listed.splitlines() if (ROOT / path).is_file()}


@cache
def imports() -> dict[str, set[str]]:
    """Return by module what it imports: modules of the repository, and whatever else by its full name."""
    known = modules()
    graph = {}
    for name, path in known.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = set(parse(path.read_text(), package=package))
        # `from package import member` is an import of the module, or of the package that has the member.
        graph[name] = {target if target in known else _parent(target, known) for target in found} - {name}
    return graph


def _parent(target: str, known: Mapping[str, Path]) -> str:
    parent = target.rpartition(".")[0]
    return parent if parent in known else target


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_imports_go_one_way_between_the_packages() -> None:
    against = []
    for module, targets in imports().items():
        package = max((each for each in MAY_IMPORT if within(module, each)), key=len, default="tests")
        allowed = (package, *MAY_IMPORT.get(package, PARTS))
        against += [
            f"{module} imports {target}"
            for target in targets
            if target.split(".")[0] in PARTS and not any(within(target, each) for each in allowed)
        ]
    assert against == []


@pytest.mark.parametrize("layers", LAYERS, ids=["infra", "model"])
def test_imports_go_down_the_layers(layers: tuple[str, ...]) -> None:
    against = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for level, layer in enumerate(layers)
        if within(module, layer)
        for target in targets
        if any(within(target, above) for above in layers[level + 1 :])
    ]
    assert against == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(imports()).prepare()  # a CycleError names the circle


def test_every_module_of_the_cdk_that_is_imported_is_type_checked() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    checked = {
        module for each in overrides if each["follow_imports"] == "normal" for module in each["module"]
    }
    imported = {".".join(target.split(".")[:2]) for targets in imports().values() for target in targets}
    services = {module for module in imported if module.startswith("aws_cdk.aws_")}
    assert services == checked - {"aws_cdk", "aws_cdk.interfaces.*"}


def test_a_lambda_imports_the_standard_library_boto3_and_itself() -> None:
    allowed = sys.stdlib_module_names | {"boto3", "botocore"}
    against = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        if within(module, "infra.lambdas")
        for target in targets
        if not target.startswith("mypy_boto3_")
        and target.split(".")[0] not in allowed
        and not within(target, ".".join(module.split(".")[:3]))
    ]
    assert against == []


def test_only_tests_and_the_demo_import_the_emulator() -> None:
    against = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        if not any(within(module, each) for each in STARTS_THE_EMULATOR)
        for target in targets
        if within(target, "infra.emulator")
    ]
    assert against == []


def test_synth_loads_neither_boto3_nor_the_model() -> None:
    loaded = "print(*(each for each in ('boto3', 'model', 'tensorflow', 'ministack') if each in sys.modules))"
    command = [sys.executable, "-c", f"import sys, infra.app; {loaded}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
