"""Progress bars of long steps: on a terminal only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


def progress(items: Iterable[T], description: str, *, unit: str = "image") -> Iterable[T]:
    """Yield the items behind a progress bar that vanishes at the end."""
    return tqdm(items, desc=description, unit=unit, leave=False, disable=None)
