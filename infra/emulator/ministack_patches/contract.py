"""Checks that the installed ministack still has the names that the patches need: `contract.toml`.

A changed ministack then fails with one line per name, instead of a traceback or patches without effect.
"""

from __future__ import annotations

import importlib
import inspect
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local_aws import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# By module of this folder and name: a function's parameters, or another object's class.
CONTRACT: Mapping[str, Mapping[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


def check(contract: Mapping[str, Mapping[str, str]] = CONTRACT) -> None:
    """Raise LocalAwsError with a line for each name that the installed ministack lacks or has changed."""
    if found := [*_breaches(contract)]:
        raise LocalAwsError("\n".join(found))


def _breaches(contract: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    version = metadata.version("ministack")
    for module, shapes in contract.items():
        for name, shape in shapes.items():
            if (found := _shape(name)) != shape:
                actual = f"it is {name}{found}" if found else "it is gone"
                path = f"infra/emulator/ministack_patches/{module}.py"
                yield f"ministack {version} no longer has {name}{shape} ({actual}); see {path}"


def _shape(name: str) -> str | None:
    module, _, attribute = f"ministack.{name}".rpartition(".")
    try:
        value = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        return None
    if inspect.isfunction(value):
        return f"({', '.join(inspect.signature(value).parameters)})"
    return f": {type(value).__name__}"
