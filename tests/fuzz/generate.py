"""Generates inputs for as long as there is time."""

from __future__ import annotations

import itertools
import pickle
import tempfile
import time
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

BATCH = 25  # examples of one seed: few, so that the time is kept

Input = TypeVar("Input")


def generate(inputs: SearchStrategy[Input], check: Callable[[Input], None], *, seconds: float) -> None:
    """Check inputs until the time is up; one that fails is shrunk, kept in a file and shown.

    The seeds are 0, 1, 2...: a longer run continues where a shorter one ends, and every run is reproducible.
    """
    deadline = time.monotonic() + seconds
    last: list[Input] = []

    def remember_and_check(each: Input) -> None:
        last[:] = [each]
        check(each)

    for number in itertools.count():
        try:
            _check_batch(number, inputs, remember_and_check)
        except AssertionError as error:
            with tempfile.NamedTemporaryFile("wb", prefix="fuzz-", delete=False) as kept:
                pickle.dump(last[0], kept)
            error.add_note(f"the failing input, of seed {number}, is in {kept.name}, pickled")
            raise
        if time.monotonic() > deadline:
            return


def _check_batch(number: int, inputs: SearchStrategy[Input], check: Callable[[Input], None]) -> None:
    @seed(number)
    @settings(
        max_examples=BATCH,
        database=None,
        deadline=None,  # the contract decides how long a response may take
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def check_each(each: Input) -> None:
        check(each)

    check_each()
