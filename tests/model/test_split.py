from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from model import phantom, split
from model.data import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from model.data import Dataset
    from model.split import Cases

    Numbers = NDArray[np.int64]


def head(seed: int) -> Image.Image:
    return phantom.draw(seed=seed, lesion=False, size=240)


def reencoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=40)
    return Image.open(buffer).convert("L")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "another aspect": lambda image: image.resize((300, 200)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "quarter turn": lambda image: image.rotate(90, expand=True),
    "turned and mirrored": lambda image: ImageOps.mirror(image.rotate(270, expand=True)),
    "JPEG quality 40": reencoded,
    "brighter": lambda image: image.point(lambda level: min(255, level * 1.3)),
    "wide margins": lambda image: ImageOps.expand(image, border=60),
    "margins cut off": lambda image: image.crop(image.point(lambda level: 255 * (level > 60)).getbbox()),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_joins_its_original(change: str) -> None:
    original, other = head(1), head(2)
    assert split.group([original, other, COPIES[change](original)]).tolist() == [0, 1, 0]


def test_copies_of_copies_are_one_group() -> None:
    first = head(1)
    second = ImageOps.mirror(first)
    third = reencoded(second.resize((150, 150)))
    assert set(split.group([first, second, third])) == {0}


def test_blank_images_are_not_taken_for_copies() -> None:
    assert len(set(split.group([Image.new("L", (50, 50), level) for level in (0, 0, 200)]))) == 3


def test_the_drawn_heads_are_nearly_all_their_own_group() -> None:
    groups = split.group([phantom.draw(seed=seed, lesion=seed % 2 == 0, size=200) for seed in range(60)])
    assert len(set(groups)) >= 57


def test_blocks_do_not_change_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [head(seed) for seed in (1, 2, 3)] + [ImageOps.mirror(head(2)), head(3).rotate(180)]
    whole = split.group(images)
    monkeypatch.setattr(split, "_BLOCK", 2)
    assert split.group(images).tolist() == whole.tolist() == [0, 1, 2, 1, 2]


@pytest.fixture
def labels_and_groups() -> tuple[Numbers, Numbers]:
    """60 images in groups of one to three, of one class each."""
    groups = np.sort(np.random.default_rng(0).integers(0, 35, size=60))
    return (groups % 2).astype(np.int64), groups


@pytest.mark.parametrize("seed", range(5))
def test_a_group_never_straddles(labels_and_groups: tuple[Numbers, Numbers], seed: int) -> None:
    cases = split.plan(*labels_and_groups, folds=4, seed=seed)
    assert_no_group_straddles(cases, cases.groups)


def assert_no_group_straddles(cases: Cases, groups: Numbers) -> None:
    for group in np.unique(groups):
        assert len(set(cases.folds[groups == group])) == 1


def test_every_fold_has_both_classes_and_every_image_a_fold(
    labels_and_groups: tuple[Numbers, Numbers],
) -> None:
    cases = split.plan(*labels_and_groups, folds=4, seed=0)
    assert set(cases.folds) == {0, 1, 2, 3}
    for fold in set(cases.folds):
        assert set(cases.labels[cases.folds == fold]) == {0, 1}


def test_every_group_weighs_the_same(labels_and_groups: tuple[Numbers, Numbers]) -> None:
    cases = split.plan(*labels_and_groups, folds=3, seed=0)
    for group in set(cases.groups):
        assert cases.weights[cases.groups == group].sum() == pytest.approx(1)


def test_the_seed_decides_the_split(labels_and_groups: tuple[Numbers, Numbers]) -> None:
    first, again, other = (split.plan(*labels_and_groups, folds=3, seed=seed).folds for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_a_class_with_too_few_groups_is_named() -> None:
    # Given ten images of class no that are all copies of two
    labels, groups = np.repeat([0, 1], 10), np.r_[np.arange(10) % 2, np.arange(10) + 2]
    with pytest.raises(DataError, match="no/ has 2 independent images, fewer than the 3 folds"):
        split.plan(labels, groups, folds=3, seed=0)


def test_what_is_chosen_of_cases_keeps_everything_together(
    labels_and_groups: tuple[Numbers, Numbers],
) -> None:
    cases = split.plan(*labels_and_groups, folds=3, seed=0)
    chosen = cases.folds == 1
    part = cases[chosen]
    assert len(part) == chosen.sum()
    assert part.groups.tolist() == cases.groups[chosen].tolist()
    assert part.labels.tolist() == cases.labels[chosen].tolist()
    assert part.weights.tolist() == cases.weights[chosen].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_whole_groups_of_both_classes_are_held_out(
    labels_and_groups: tuple[Numbers, Numbers], seed: int
) -> None:
    labels, groups = labels_and_groups
    held_out = split.hold_out(labels, groups, seed=seed)
    # Then what is held out shares no group with what is learnt from
    assert not set(groups[held_out]) & set(groups[~held_out])
    # And of each class there is something, but little: a tenth of its groups, HELD_OUT at the most
    for label in (0, 1):
        of_class = len(set(groups[held_out & (labels == label)]))
        assert of_class == min(split.HELD_OUT, len(set(groups[labels == label])) // 10) == 1


def test_of_a_large_set_no_more_is_held_out() -> None:
    labels = np.repeat([0, 1], 200)
    held_out = split.hold_out(labels, np.arange(400), seed=0)
    assert [held_out[labels == label].sum() for label in (0, 1)] == [split.HELD_OUT] * 2


def test_the_seed_decides_what_is_held_out(labels_and_groups: tuple[Numbers, Numbers]) -> None:
    first, again = (split.hold_out(*labels_and_groups, seed=1) for _ in range(2))
    assert np.array_equal(first, again)
    assert len({split.hold_out(*labels_and_groups, seed=seed).tobytes() for seed in range(10)}) > 1


def test_a_group_of_both_classes_is_not_held_out() -> None:
    # Given one group for each class, and eight that hold images of both
    labels, groups = np.r_[0, 1, np.tile([0, 1], 8)], np.r_[0, 1, np.repeat(np.arange(2, 10), 2)]
    for seed in range(5):
        assert np.flatnonzero(split.hold_out(labels, groups, seed=seed)).tolist() == [0, 1]


def test_classes_that_share_all_their_images_are_an_error() -> None:
    with pytest.raises(DataError, match="every image in no/ has a near-duplicate in the other class"):
        split.hold_out(np.repeat([0, 1], 5), np.tile(np.arange(5), 2), seed=0)


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_of_one_of_the_others_is_found(change: str) -> None:
    images = [head(3), COPIES[change](head(1)), head(4)]
    assert split.resembling(images, [head(2), head(1)]).tolist() == [False, True, False]


def test_images_that_resemble_only_each_other_are_kept() -> None:
    assert split.resembling([head(1), ImageOps.mirror(head(1))], [head(2)]).tolist() == [False, False]


def test_blocks_do_not_change_what_resembles(monkeypatch: pytest.MonkeyPatch) -> None:
    images, others = [head(seed) for seed in (1, 2, 3, 4, 5)], [ImageOps.flip(head(5)), head(2)]
    monkeypatch.setattr(split, "_BLOCK", 2)
    assert split.resembling(images, others).tolist() == [False, True, False, False, True]


@pytest.fixture(scope="module")
def found(real: Dataset) -> Numbers:
    """The groups that the project finds in the real set."""
    return split.group(scan.image() for scan in real.scans)


@pytest.fixture(scope="module")
def known(real: Dataset) -> Numbers:
    """The groups that the real set's manifest knows."""
    with (real.folder / "manifest.csv").open() as rows:
        by_name = {row["path"]: int(row["group"]) for row in csv.DictReader(rows)}
    return np.array([by_name[scan.name] for scan in real.scans])


def test_the_groups_of_the_real_set_are_those_of_its_manifest(found: Numbers, known: Numbers) -> None:
    # Each group found is one group of the manifest, and the other way round
    pairs = set(zip(found.tolist(), known.tolist(), strict=True))
    assert len(pairs) == len(set(found)) == len(set(known)) == 197


@pytest.mark.parametrize("seed", range(3))
def test_no_known_group_of_the_real_set_straddles(
    real: Dataset, found: Numbers, known: Numbers, seed: int
) -> None:
    assert_no_group_straddles(split.plan(real.labels, found, folds=5, seed=seed), known)
