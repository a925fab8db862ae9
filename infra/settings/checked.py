"""How every part of the settings is read: strictly, and with no key that nobody knows."""

from __future__ import annotations

from pydantic import ConfigDict

CHECKED = ConfigDict(strict=True, extra="forbid")


def distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    if len(set(items)) < len(items):
        raise ValueError("name each once")
    return items
