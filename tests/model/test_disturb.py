"""Disturbed pictures are other files of the same head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from model import disturb, phantom, split
from model.disturb import disturbed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    Change = Callable[[Image.Image, Generator], Image.Image]

CHANGES: dict[str, Change] = {
    "reframed": disturb._reframe,
    "rescaled": disturb._rescale,
    "blurred": disturb._blur,
    "rewindowed": disturb._rewindow,
    "marked": disturb._mark,
    "compressed": disturb._compress,
}
SHARES = {"blurred": disturb.BLURRED, "marked": disturb.MARKED, "compressed": disturb.COMPRESSED}
DRAWS = 60


@pytest.fixture(scope="module")
def head() -> Image.Image:
    """A head, taller than wide, with a small margin around it."""
    return ImageOps.expand(phantom.draw(seed=1, lesion=True, size=200), border=10)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


def test_the_numbers_drawn_decide_all_of_it(head: Image.Image) -> None:
    first, again, other = (disturbed(head, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


def test_the_original_is_left_alone(head: Image.Image) -> None:
    before = head.copy()
    for seed in range(20):
        disturbed(head, np.random.default_rng(seed))
    assert same(head, before)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_changes_its_share_of_the_pictures(head: Image.Image, name: str) -> None:
    rng = np.random.default_rng(0)
    changed = [CHANGES[name](head, rng) for _ in range(DRAWS)]
    assert {each.mode for each in changed} == {"L"}
    share = np.mean([not same(each, head) for each in changed])
    assert share == pytest.approx(SHARES.get(name, 1.0), abs=0.2)
    # And each time it does so in another way
    kinds = {(each.size, each.tobytes()) for each in changed if not same(each, head)}
    assert len(kinds) >= 0.9 * share * DRAWS


def test_frames_are_cut_and_laid_around_in_black(head: Image.Image) -> None:
    rng = np.random.default_rng(0)
    framed = [disturb._reframe(head, rng) for _ in range(DRAWS)]
    widths = np.array([each.width for each in framed]) / head.width
    assert widths.min() < 0.97
    assert 1.1 < widths.max() <= 1 + 2 * disturb.BORDER
    assert widths.min() >= 1 - 2 * disturb.CROP - 0.01
    wide = framed[int(np.argmax(widths))]
    assert min(np.asarray(wide)[:, 0].max(), np.asarray(wide)[:, -1].max()) == 0


def test_sizes_spread_over_their_range(head: Image.Image) -> None:
    rng = np.random.default_rng(0)
    longest = [max(disturb._rescale(head, rng).size) for _ in range(DRAWS)]
    low, high = disturb.SIDES
    assert low * 0.9 <= min(longest) < 1.3 * low
    assert 0.8 * high < max(longest) <= 1.11 * high


def test_a_mark_leaves_most_of_the_picture_as_it_was(head: Image.Image) -> None:
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        marked = np.asarray(disturb._mark(head, rng))
        assert np.mean(marked != np.asarray(head)) < 0.1


def test_a_window_keeps_the_order_of_the_greys() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    for seed in range(20):
        levels = np.asarray(disturb._rewindow(ramp, np.random.default_rng(seed)))[0].astype(int)
        assert np.all(np.diff(levels) >= 0)
        assert np.ptp(levels) > 200


def test_the_head_is_still_there(head: Image.Image) -> None:
    # Given twenty disturbed versions of it, among other heads
    others = [phantom.draw(seed=seed, lesion=True, size=200) for seed in (2, 3)]
    versions = [disturbed(head, np.random.default_rng(seed)) for seed in range(20)]
    # Then nearly all are still near-duplicates of it and of no other
    groups = split.group([head, *others, *versions])
    assert np.mean(groups[3:] == groups[0]) >= 0.85
    assert not np.isin(groups[3:], groups[1:3]).any()


@pytest.mark.parametrize("size", [(8, 8), (300, 20), (16, 200)])
@pytest.mark.parametrize("level", [0, 255])
def test_odd_sizes_and_flat_pictures_are_no_obstacle(size: tuple[int, int], level: int) -> None:
    for seed in range(10):
        changed = disturbed(Image.new("L", size, level), np.random.default_rng(seed))
        assert changed.mode == "L"
        assert min(changed.size) >= 1
