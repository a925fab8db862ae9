"""What all parts of the settings share: strict reading, and the forms of their values."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, ConfigDict

from infra.names import ENVIRONMENT_NAME

STRICT = ConfigDict(strict=True, extra="forbid")  # no conversion between types, no unknown keys


def matches(pattern: str, *, like: str) -> AfterValidator:
    """Return a check that a whole text matches `pattern`; the error shows what to write: `like`."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"write {like}")
        return text

    return AfterValidator(check)


def distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    if len(set(items)) < len(items):
        raise ValueError("name each once")
    return items


EnvironmentName = Annotated[
    str, matches(ENVIRONMENT_NAME, like="2 to 13 lower-case letters and digits, a letter first")
]
