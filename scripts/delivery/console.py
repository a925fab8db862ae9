"""How the commands speak: one line a step, and a failure that says what to do."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class DeliveryError(Exception):
    """Something that a person has to mend; its text says what is wrong and what to do."""


def say(text: str) -> None:
    """Print one line of progress on standard error, which leaves standard output to results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a long step and say how long it took."""
    say(f"▸ {title} ...")
    began = time.monotonic()
    yield
    say(f"✓ {title} ({time.monotonic() - began:.0f} s)")
