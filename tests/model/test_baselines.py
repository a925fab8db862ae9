from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model.data import dataset
from model.data.split import assign_folds
from model.evaluation import metrics
from model.evaluation.baselines import header, metadata_forest

if TYPE_CHECKING:
    from pathlib import Path

    from model.arrays import Greys
    from model.data.cases import Cases
    from model.data.dataset import Dataset, Scan


def plain_cases(scans: tuple[Scan, ...]) -> Cases:
    """Every scan its own group, in one of four folds."""
    return assign_folds(np.array([scan.label for scan in scans]), np.arange(len(scans)), folds=4, seed=0)


def out_of_fold_auc(scans: tuple[Scan, ...]) -> float:
    cases, forest, scores = plain_cases(scans), metadata_forest(scans), np.empty(len(scans))
    for fold in np.unique(cases.folds):
        tested = cases.folds == fold
        scores[tested] = forest(~tested, cases, 0)[tested]
    return float(metrics.roc_auc(scores, cases.labels, cases.weights[None])[0])


def scans_of(folder: Path, planes: Greys, *, padding: tuple[int, int] = (0, 0)) -> tuple[Scan, ...]:
    """PNG files of equal length, half of each class, plus `padding` bytes for NO and for YES."""
    for number, plane in enumerate(planes):
        label = number % 2
        parent = folder / dataset.CLASSES[label]
        parent.mkdir(parents=True, exist_ok=True)
        text = PngInfo()
        text.add_text("padding", "x" * padding[label])
        Image.fromarray(plane).save(parent / f"{number:02}.png", pnginfo=text, compress_level=0)
    return dataset.load(folder).scans


def noise(count: int, *, seed: int) -> Greys:
    return np.random.default_rng(seed).integers(0, 256, size=(count, 40, 30), dtype=np.uint8)


def test_the_forest_detects_a_difference_in_file_size_and_none_in_pixels(tmp_path: Path) -> None:
    for padding, low, high in (((10, 60), 0.95, 1.0), ((0, 0), 0.4, 0.6)):
        planes = noise(40, seed=0) // 2
        planes[1::2] += 60
        scans = scans_of(tmp_path / f"{padding}", planes, padding=padding)
        assert low <= out_of_fold_auc(scans) <= high


def test_a_header_holds_size_length_mode_and_format(tmp_path: Path) -> None:
    scan = scans_of(tmp_path, noise(2, seed=0))[0]
    assert header(scan) == (30, 40, scan.path.stat().st_size, "L", "PNG")
    jpeg = tmp_path / "yes" / "a.png"  # the bytes decide
    Image.new("RGB", (50, 20)).save(jpeg, format="JPEG")
    assert header(dataset.Scan(jpeg, 1, ""))[3:] == ("RGB", "JPEG")


def test_the_held_out_fold_is_not_learnt_from(phantoms: Dataset) -> None:
    # Given the labels of the held-out fold inverted and its weights changed
    cases = plain_cases(phantoms.scans)
    tested = cases.folds == 0
    inverted = np.where(tested, 1 - cases.labels, cases.labels)
    other = replace(cases, labels=inverted, weights=np.where(tested, 9.0, 1.0))
    # Then no score changes
    forest = metadata_forest(phantoms.scans)
    assert np.array_equal(forest(~tested, cases, 0), forest(~tested, other, 0))
