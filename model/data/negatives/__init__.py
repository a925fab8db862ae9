"""Images that are not brain MRIs, on which the refusal is trained and tested.

`scrambled` makes more of the brain MRIs themselves.
Photographs come with installed packages; everything else is drawn from a seed. The rules of
`container.rules` refuse tiny, blank and colourful images without the network, so most images here pass
them: grey, often round and on black, like a slice of a head. Kinds that are refused without training on them
(ultrasound, hips, breasts, hearts, X-rays, flowers, text, charts, noise, flat images) are not drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.random import default_rng

from model.data.negatives import objects, organs, photographs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

_DRAWINGS = {
    each.__name__: each
    for each in (
        *(organs.abdomen, organs.thorax, organs.limb),
        *(objects.cells, objects.moon, objects.log, objects.dish, objects.fingerprint, objects.stones),
    )
}
KINDS = ("photograph", *_DRAWINGS)
_MOST = 1_000_000  # images of one kind and seed, so that seeds do not overlap


def draw(kind: str, *, seed: int) -> Image.Image:
    """Draw one image of a kind, mode L or RGB, with a longer side of about 130 to 700 pixels.

    Equal seeds give equal images. Consecutive seeds take the photographs in turn.
    """
    rng = default_rng([seed, *kind.encode()])
    return _DRAWINGS[kind](rng) if kind in _DRAWINGS else photographs.part(rng, index=seed)


def negatives(*, per_kind: int, seed: int = 0) -> Iterator[tuple[str, Image.Image]]:
    """Yield `per_kind` images of each kind with the kind's name; seeds share no image."""
    return ((kind, draw(kind, seed=seed * _MOST + index)) for kind in KINDS for index in range(per_kind))
