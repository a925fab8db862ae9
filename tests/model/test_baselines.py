from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sklearn.model_selection import StratifiedGroupKFold

from model import baselines, data, evaluate, split
from model.baselines import BASELINES, header
from model.split import Cases

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from model.data import Dataset, Scan

    Scores = NDArray[np.float64]

MAJORITY, FOREST, NEIGHBOUR, REGRESSION = BASELINES


@pytest.fixture(autouse=True)
def small_forest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees, for they cost the time; all of them on real images."""
    if "real" not in request.fixturenames:
        monkeypatch.setattr(baselines, "TREES", 60)


def plain_cases(scans: tuple[Scan, ...]) -> Cases:
    """Every scan its own group, in one of four folds that have both classes."""
    labels = np.array([scan.label for scan in scans])
    alone = np.arange(len(scans))
    folds = np.empty(len(scans), dtype=np.int64)
    for label in (0, 1):
        folds[labels == label] = np.arange(np.sum(labels == label)) % 4
    return Cases(labels, alone, folds, np.ones(len(scans)))


def out_of_fold(name: str, scans: tuple[Scan, ...], cases: Cases, *, seed: int = 0) -> Scores:
    baseline, scores = BASELINES[name](scans), np.empty(len(scans))
    for fold in np.unique(cases.folds):
        judged = cases.folds == fold
        scores[judged] = baseline.scores(~judged, cases, seed)[judged]
    return scores


def auc(scores: Scores, cases: Cases) -> float:
    return float(evaluate.roc_auc(scores, cases.labels, cases.weights[None])[0])


def accuracy(scores: Scores, cases: Cases) -> float:
    return float(np.average((scores > 0) == (cases.labels == 1), weights=cases.weights))


def scans_of(
    folder: Path, planes: NDArray[np.uint8], *, padding: tuple[int, int] = (0, 0)
) -> tuple[Scan, ...]:
    """PNG files of equal length, half of each class, but for `padding` bytes in those of NO and of YES."""
    for number, plane in enumerate(planes):
        label = number % 2
        parent = folder / data.CLASSES[label]
        parent.mkdir(parents=True, exist_ok=True)
        words = PngInfo()
        words.add_text("padding", "x" * padding[label])
        Image.fromarray(plane).save(parent / f"{number:02}.png", pnginfo=words, compress_level=0)
    return data.load(folder).scans


def noise(count: int, *, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size=(count, 40, 30), dtype=np.uint8)


def bright_on_one_side(count: int) -> NDArray[np.uint8]:
    """Noise, in every second plane (class yes) brighter on its left half, else on its right."""
    planes = noise(count, seed=5) // 2
    planes[1::2, :, :15] += 60
    planes[::2, :, 15:] += 60
    return planes


def test_the_forest_finds_a_difference_of_file_size_and_what_looks_at_pixels_does_not(tmp_path: Path) -> None:
    scans = scans_of(tmp_path, noise(40, seed=0), padding=(10, 60))
    cases = plain_cases(scans)
    assert auc(out_of_fold(FOREST, scans, cases), cases) > 0.95
    for name in (NEIGHBOUR, REGRESSION):
        assert auc(out_of_fold(name, scans, cases), cases) < 0.8


def test_what_looks_at_pixels_finds_a_difference_of_pixels_and_the_forest_does_not(tmp_path: Path) -> None:
    scans = scans_of(tmp_path, bright_on_one_side(40))
    cases = plain_cases(scans)
    for name in (NEIGHBOUR, REGRESSION):
        scores = out_of_fold(name, scans, cases)
        assert auc(scores, cases) > 0.95
        assert accuracy(scores, cases) > 0.9
    assert auc(out_of_fold(FOREST, scans, cases), cases) == pytest.approx(0.5, abs=0.1)


def test_the_forest_sees_no_pixel(tmp_path: Path) -> None:
    # Given two sets with the same headers and lengths, of other pictures
    first, other = (scans_of(tmp_path / str(seed), noise(20, seed=seed), padding=(5, 9)) for seed in (1, 2))
    cases = plain_cases(first)
    # Then both get the same scores
    assert np.array_equal(out_of_fold(FOREST, first, cases), out_of_fold(FOREST, other, cases))


def test_a_header_tells_size_length_mode_and_format(tmp_path: Path) -> None:
    scan = scans_of(tmp_path, noise(2, seed=0))[0]
    assert header(scan) == (30, 40, scan.path.stat().st_size, "L", "PNG")
    jpeg = tmp_path / "yes" / "a.png"  # the bytes decide
    Image.new("RGB", (50, 20)).save(jpeg, format="JPEG")
    assert header(data.Scan(jpeg, 1, ""))[3:] == ("RGB", "JPEG")


@pytest.mark.parametrize("name", BASELINES)
def test_what_was_not_chosen_is_not_learnt_from(phantoms: Dataset, name: str) -> None:
    # Given the labels and weights of the judged fold turned around
    cases = plain_cases(phantoms.scans)
    judged = cases.folds == 0
    other = Cases(
        labels=np.where(judged, 1 - cases.labels, cases.labels),
        groups=cases.groups,
        folds=cases.folds,
        weights=np.where(judged, 9.0, 1.0),
    )
    # Then no score changes
    baseline = BASELINES[name](phantoms.scans)
    assert np.array_equal(baseline.scores(~judged, cases, 0), baseline.scores(~judged, other, 0))


@pytest.mark.parametrize("name", BASELINES)
def test_every_scan_gets_one_finite_score_and_always_the_same(phantoms: Dataset, name: str) -> None:
    cases = plain_cases(phantoms.scans)
    first, again = (BASELINES[name](phantoms.scans).scores(cases.folds > 0, cases, 3) for _ in range(2))
    assert first.shape == (len(phantoms.scans),)
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", set(BASELINES) - {MAJORITY})
def test_what_was_learnt_is_recalled(phantoms: Dataset, name: str) -> None:
    cases = plain_cases(phantoms.scans)
    everything = np.ones(len(cases), dtype=bool)
    assert auc(BASELINES[name](phantoms.scans).scores(everything, cases, 0), cases) > 0.9


def test_the_seed_grows_another_forest(phantoms: Dataset) -> None:
    cases = plain_cases(phantoms.scans)
    first, other = (out_of_fold(FOREST, phantoms.scans, cases, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first, other)


def test_the_majority_is_that_of_groups_not_of_files(phantoms: Dataset) -> None:
    # Given twice as many files of class yes, which all show the same
    labels = np.repeat([0, 1], [16, 32])
    groups = np.where(labels == 1, 16, np.arange(48))
    cases = Cases(labels, groups, groups, np.where(labels == 1, 1 / 32, 1.0))
    scores = BASELINES[MAJORITY](phantoms.scans).scores(np.ones(48, dtype=bool), cases, 0)
    assert set(scores) == {-1}


def test_the_majority_has_no_roc_curve_over_folds_put_together(phantoms: Dataset) -> None:
    # Given folds whose shares of yes differ, though all have more of it
    cases = plain_cases(phantoms.scans)
    labels = (np.arange(48) % 8 > 1).astype(np.int64)
    uneven = Cases(labels, cases.groups, np.arange(48) * 3 // 48, cases.weights)
    assert auc(out_of_fold(MAJORITY, phantoms.scans, uneven), uneven) == 0.5


def test_the_nearest_neighbour_of_a_copy_is_its_original(tmp_path: Path) -> None:
    # Given two pictures of each class, and a lighter copy of each
    planes = noise(4, seed=3) // 2
    scans = scans_of(tmp_path, np.concatenate([planes, planes + 3]))
    cases = plain_cases(scans)
    originals = np.array([int(scan.path.stem) < 4 for scan in scans])
    scores = BASELINES[NEIGHBOUR](scans).scores(originals, cases, 0)
    assert ((scores > 0) == (cases.labels == 1)).all()


@pytest.fixture(scope="module")
def grouped(real: Dataset) -> list[Cases]:
    """The real set in five grouped folds, by three seeds."""
    labels, groups = real.labels, split.group(scan.image() for scan in real.scans)
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    repeats = []
    for seed in range(3):
        folds = np.empty(len(labels), dtype=np.int64)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for number, (_, judged) in enumerate(splitter.split(labels, labels, groups)):
            folds[judged] = number
        repeats.append(Cases(labels, groups, folds, 1 / sizes[inverse]))
    return repeats


def test_the_forest_reaches_on_the_real_set_what_is_known_of_it(real: Dataset, grouped: list[Cases]) -> None:
    # One repeat, for the forests of all three take many seconds
    scores = out_of_fold(FOREST, real.scans, grouped[1], seed=1)
    assert 0.79 < auc(scores, grouped[1]) < 0.86


def test_the_neighbour_reaches_on_the_real_set_what_is_known_of_it(
    real: Dataset, grouped: list[Cases]
) -> None:
    accuracies = [accuracy(out_of_fold(NEIGHBOUR, real.scans, cases), cases) for cases in grouped]
    assert 0.65 < np.mean(accuracies) < 0.71
