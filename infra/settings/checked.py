"""How every part of the settings is read: strictly, and with no key that nobody knows."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict

from infra.names import ENVIRONMENT_NAME
from infra.report import shaped

CHECKED = ConfigDict(strict=True, extra="forbid")

EnvironmentName = Annotated[
    str, shaped(ENVIRONMENT_NAME, like="2 to 13 lower-case letters and digits, a letter first")
]


def distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    if len(set(items)) < len(items):
        raise ValueError("name each once")
    return items
