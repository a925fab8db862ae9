"""Errors in files that people write, all at once, each with its key, its value and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def problems(error: ValidationError, *, hidden: frozenset[str] = frozenset()) -> list[str]:
    """Turn what pydantic found into lines for people.

    Parameters
    ----------
    error
        What was raised.
    hidden
        Steps of pydantic's paths that are no keys of the file: the tags of unions.
    """
    return [_line(item, hidden) for item in error.errors(include_url=False)]


def _line(item: ErrorDetails, hidden: frozenset[str]) -> str:
    key = ".".join(str(step) for step in item["loc"] if step not in hidden)
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
