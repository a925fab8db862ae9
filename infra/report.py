"""Errors in files that people write, all at once, each with its key, its value and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError


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
    return [
        _line(
            key=".".join(str(step) for step in item["loc"] if step not in hidden),
            kind=item["type"],
            found=item["input"],
            advice=item["msg"].removeprefix("Value error, "),
        )
        for item in error.errors(include_url=False)
    ]


def _line(*, key: str, kind: str, found: object, advice: str) -> str:
    if kind == "missing":
        return f"{key}: missing"
    if kind == "unexpected_keyword_argument":
        return f"{key}: unknown key (value {found!r}); remove it or check its spelling"
    return f"{key} = {found!r}: {advice}" if key else advice
