"""Makes up inputs for as long as there is time."""

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

AT_ONCE = 25  # examples of one seed: few, so that the time is kept

Input = TypeVar("Input")


def explore(inputs: SearchStrategy[Input], holds: Callable[[Input], None], *, seconds: float) -> None:
    """Try inputs until the time is up; one that fails is made as small as it fails, and shown.

    The seeds are 0, 1, 2...: a longer time goes on where a shorter one ends, and the same inputs come again.
    """
    until = time.monotonic() + seconds
    last: list[Input] = []

    def remember_and_try(each: Input) -> None:
        last[:] = [each]
        holds(each)

    for number in itertools.count():
        try:
            _batch(number, inputs, remember_and_try)
        except AssertionError as error:
            with tempfile.NamedTemporaryFile("wb", prefix="fuzz-", delete=False) as kept:
                pickle.dump(last[0], kept)
            error.add_note(f"what failed, of seed {number}, is kept in {kept.name}, pickled")
            raise
        if time.monotonic() > until:
            return


def _batch(number: int, inputs: SearchStrategy[Input], holds: Callable[[Input], None]) -> None:
    @seed(number)
    @settings(
        max_examples=AT_ONCE,
        database=None,
        deadline=None,  # how long an answer may take is the contract's to say
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def try_them(each: Input) -> None:
        holds(each)

    try_them()
