"""How the commands speak: one line a step, and a failure that says what to do."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class DeliveryError(Exception):
    """Something that a person has to mend; its text says what is wrong and what to do."""

    status = 1  # of the command that ends with it


class BusyError(DeliveryError):
    """Somebody else is at it; the same command works later."""

    status = os.EX_TEMPFAIL


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
