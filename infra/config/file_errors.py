"""Errors in files that people write: all at once, each with its key, its value and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class FileError(Exception):
    """A file is wrong: the message names it and lists its problems, a line for each thing to correct."""

    def __init__(self, source: Path, problems: list[str]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join([f"{source} cannot be used:", *(f"  - {line}" for line in problems)]))


@dataclass(frozen=True)
class Problem:
    """One thing to correct: the dotted key of the wrong value, and a line for people."""

    key: str
    line: str


def problems(error: ValidationError, *, unions: Mapping[str, frozenset[str]] | None = None) -> list[Problem]:
    """Translate pydantic's findings.

    `unions` are the keys whose value is one of several tables, with these tables' tags: pydantic puts the tag
    after the key, but it is not a key of the file.
    """
    return [_problem(item, unions or {}) for item in error.errors(include_url=False)]


def _problem(item: ErrorDetails, unions: Mapping[str, frozenset[str]]) -> Problem:
    steps = [str(step) for step in item["loc"]]
    key = ".".join(
        step for step, parent in zip(steps, ["", *steps], strict=False) if step not in unions.get(parent, ())
    )
    return Problem(key, _line(item, key))


def _line(item: ErrorDetails, key: str) -> str:
    value = item["input"]
    match item["type"]:
        case "missing":
            return f"{key}: missing"
        case "unexpected_keyword_argument":
            return f"{key}: unknown key (value {value!r}); remove it or check its spelling"
        case "union_tag_not_found":
            return f"{key}.{_discriminator(item)}: missing"
        case "union_tag_invalid":
            tag, expected = item["ctx"]["tag"], item["ctx"]["expected_tags"]
            return f"{key}.{_discriminator(item)} = {tag!r}: Input should be one of {expected}"
    remedy = item["msg"].removeprefix("Value error, ")
    return f"{key} = {value!r}: {remedy}" if key else remedy


def _discriminator(item: ErrorDetails) -> str:
    return str(item["ctx"]["discriminator"]).strip("'")
