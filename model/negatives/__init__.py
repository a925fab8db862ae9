"""Pictures that are no brain MRI: what the refusal learns from and is measured on.

Photographs come from inside installed packages; all else is drawn from a seed. The rules of
`container.refusal` turn away what is tiny, blank or colourful before the network is asked, so most pictures
here are what those rules let through: grey, often round and on black, as a slice of a head is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.random import Generator, default_rng

from . import charts, fields, objects, organs, pages, photographs, xrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from PIL import Image

_DRAWINGS: Mapping[str, tuple[Callable[[Generator], Image.Image], ...]] = {
    "photograph": photographs.DRAWINGS,
    "xray": xrays.DRAWINGS,
    "text": pages.DRAWINGS,
    "chart": charts.DRAWINGS,
    "noise": fields.NOISE,
    "flat": fields.FLAT,
    "organ": organs.DRAWINGS,
    "objects": objects.DRAWINGS,
}

KINDS: tuple[str, ...] = tuple(_DRAWINGS)
"""What `draw` can draw."""

_MOST = 1_000_000  # pictures of one kind from one seed: the next seed's begin behind them


def draw(kind: str, *, seed: int) -> Image.Image:
    """Draw one picture.

    Parameters
    ----------
    kind
        One of `KINDS`.
    seed
        Decides everything, 0 or more; the same kind and seed always give the same picture. Seeds that follow
        each other go through a kind's subjects in turn, so that a few pictures already show them all.

    Returns
    -------
    PIL.Image.Image
        Mode L or RGB, its longer side from about 130 to 700 pixels.

    Raises
    ------
    ValueError
        For an unknown kind or a negative seed.
    RuntimeError
        For a photograph, if the packages that bring them hold too few.
    """
    if kind not in _DRAWINGS:
        raise ValueError(f"There is no kind {kind!r} of negatives: choose one of {', '.join(KINDS)}.")
    if seed < 0:
        raise ValueError(f"The seed is {seed}: give 0 or more.")
    drawings = _DRAWINGS[kind]
    return drawings[seed % len(drawings)](default_rng([seed, *kind.encode()]))


def negatives(*, per_kind: int, seed: int = 0) -> Iterator[tuple[str, Image.Image]]:
    """Yield `per_kind` pictures of each kind with the kind's name, kind by kind.

    Parameters
    ----------
    per_kind
        At most a million.
    seed
        0 or more; no two seeds share a picture.

    Raises
    ------
    ValueError
        For a number or a seed out of range, before the first picture.
    """
    if not 0 <= per_kind <= _MOST:
        raise ValueError(f"{per_kind} pictures of each kind are asked for: give 0 to {_MOST}.")
    if seed < 0:
        raise ValueError(f"The seed is {seed}: give 0 or more.")
    return ((kind, draw(kind, seed=seed * _MOST + index)) for kind in KINDS for index in range(per_kind))
