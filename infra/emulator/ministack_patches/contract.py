"""Checks that the installed ministack still has the private names that the patches need.

A changed ministack then fails with one line per name, instead of a traceback or patches without effect.
"""

from __future__ import annotations

import importlib
import inspect
import re
from importlib import metadata
from typing import TYPE_CHECKING

from infra.local_aws import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# A module's CONTRACT has one entry a line: a function with its parameters, or another object with its class.
_ENTRY = re.compile(r"^([\w.]+)(\([^)]*\)|: \w+)$", re.MULTILINE)


def check(*patches: ModuleType) -> None:
    """Raise LocalAwsError with a line for each name that the installed ministack lacks or has changed."""
    if found := [line for patch in patches for line in breaches(patch)]:
        raise LocalAwsError("\n".join(found))


def breaches(patch: ModuleType) -> Iterator[str]:
    """Yield a line for each entry of a module's contract that ministack does not keep."""
    version = metadata.version("ministack")
    path = f"{patch.__name__.replace('.', '/')}.py"
    for name, shape in names(patch).items():
        if (found := _shape(name)) != shape:
            actual = f"it is {name}{found}" if found else "it is gone"
            yield f"ministack {version} no longer has {name}{shape} ({actual}); see {path}"


def names(patch: ModuleType) -> dict[str, str]:
    """Return the shape of each name in a module's contract."""
    return {name: re.sub(r"\s+", " ", shape) for name, shape in _ENTRY.findall(patch.CONTRACT)}


def _shape(name: str) -> str | None:
    module, _, attribute = f"ministack.{name}".rpartition(".")
    try:
        value = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        return None
    if inspect.isfunction(value):
        return f"({', '.join(inspect.signature(value).parameters)})"
    return f": {type(value).__name__}"
