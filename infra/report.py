"""Errors in files that people write, all at once, each with its key, its value and what would be right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import AfterValidator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class FileError(Exception):
    """A file is wrong: the message names it and lists every problem in it.

    Attributes
    ----------
    source
        The file.
    problems
        One line for each thing to mend.
    """

    def __init__(self, source: Path, problems: list[str]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join([f"{source} cannot be used:", *(f"  - {line}" for line in problems)]))


def shaped(pattern: str, *, like: str) -> AfterValidator:
    """Return the check that a text has a form from its first character to its last; `like` says which."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"write {like}")
        return text

    return AfterValidator(check)


def problems(error: ValidationError, *, unions: Mapping[str, frozenset[str]] | None = None) -> list[str]:
    """Turn what pydantic found into lines for people.

    Parameters
    ----------
    error
        What was raised.
    unions
        Keys whose value is one of several tables, each with their tags: in pydantic's paths a tag follows its
        key, but it is no key of the file.
    """
    return [_line(item, unions or {}) for item in error.errors(include_url=False)]


def _line(item: ErrorDetails, unions: Mapping[str, frozenset[str]]) -> str:
    steps = [str(step) for step in item["loc"]]
    before = ["", *steps]
    key = ".".join(
        step for step, parent in zip(steps, before, strict=False) if step not in unions.get(parent, ())
    )
    found = item["input"]
    match item["type"]:
        case "missing":
            return f"{key}: missing"
        case "unexpected_keyword_argument":
            return f"{key}: unknown key (value {found!r}); remove it or check its spelling"
        case "union_tag_not_found":
            return f"{key}.{_discriminator(item)}: missing"
        case "union_tag_invalid":
            tag, expected = item["ctx"]["tag"], item["ctx"]["expected_tags"]
            return f"{key}.{_discriminator(item)} = {tag!r}: Input should be one of {expected}"
    advice = item["msg"].removeprefix("Value error, ")
    return f"{key} = {found!r}: {advice}" if key else advice


def _discriminator(item: ErrorDetails) -> str:
    return str(item["ctx"]["discriminator"]).strip("'")
