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
    from collections.abc import Callable, Iterator, Mapping
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
    *("infra.emulator", "scripts.commands.demo", "tests"),
    "scripts.benchmark.monitor",
    "scripts.commands.doctor",  # looks for what a killed one left
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
        places = [(target, target.rpartition(".")[0]) for target in found]
        graph[name] = {next((each for each in place if each in known), place[0]) for place in places} - {name}
    return graph


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def violations(allowed: Callable[[str, str], bool]) -> list[str]:
    """Name the imports for which `allowed` is false, given a module and what it imports."""
    return [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for target in targets
        if not allowed(module, target)
    ]


def test_imports_go_one_way_between_the_packages() -> None:
    def allowed(module: str, target: str) -> bool:
        package = max((each for each in MAY_IMPORT if within(module, each)), key=len, default="tests")
        packages = (package, *MAY_IMPORT.get(package, PARTS))
        return within(target, *packages) or not within(target, *PARTS)

    assert violations(allowed) == []


@pytest.mark.parametrize("layers", LAYERS, ids=["infra", "model"])
def test_imports_go_down_the_layers(layers: tuple[str, ...]) -> None:
    def layer(module: str) -> int:
        return next((level for level, each in enumerate(layers) if within(module, each)), -1)

    assert violations(lambda module, target: layer(module) == -1 or layer(module) >= layer(target)) == []


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
    packages = sys.stdlib_module_names | {"boto3", "botocore"}

    def allowed(module: str, target: str) -> bool:
        own = ".".join(module.split(".")[:3])
        foreign = target.startswith("mypy_boto3_") or target.partition(".")[0] in packages
        return not within(module, "infra.lambdas") or foreign or within(target, own)

    assert violations(allowed) == []


def test_only_tests_and_the_demo_import_the_emulator() -> None:
    def allowed(module: str, target: str) -> bool:
        return within(module, *STARTS_THE_EMULATOR) or not within(target, "infra.emulator")

    assert violations(allowed) == []


def test_synth_loads_neither_boto3_nor_the_model() -> None:
    loaded = "print(*(each for each in ('boto3', 'model', 'tensorflow', 'ministack') if each in sys.modules))"
    command = [sys.executable, "-c", f"import sys, infra.app; {loaded}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
