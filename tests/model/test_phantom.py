from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from container import imaging
from container.rules import reason_to_refuse
from model.data import phantom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from model.arrays import Floats32

    Statistic = Callable[[Floats32], float]


def grey(*, seed: int, lesion: bool, size: int = 225) -> Floats32:
    return np.asarray(phantom.draw(seed=seed, lesion=lesion, size=size), dtype=np.float32)


@pytest.mark.parametrize("seed", range(10))
def test_a_lesion_is_added_to_the_same_head(seed: int) -> None:
    # Given one head with and without its lesion
    healthy, ill = grey(seed=seed, lesion=False), grey(seed=seed, lesion=True)
    # Then they differ in a small part of the image
    changed = np.abs(ill - healthy) > 2
    assert 0.003 < changed.mean() < 0.4
    assert not changed[:8].any()


@pytest.mark.parametrize("size", [120, 225, 400])
def test_the_size_is_the_height(size: int) -> None:
    image = phantom.draw(seed=1, lesion=True, size=size)
    assert image.mode == "L"
    assert image.height == size
    assert 0.7 * size < image.width <= size


def test_serving_refuses_no_phantom() -> None:
    for seed in range(40):
        image = phantom.draw(seed=seed, lesion=seed % 2 == 0)
        assert reason_to_refuse(image, image) is None


@pytest.mark.parametrize("statistic", [np.mean, np.std, np.max, lambda plane: np.percentile(plane, 99)])
def test_no_brightness_statistic_reveals_the_lesion(statistic: Statistic) -> None:
    values = [statistic(grey(seed=seed, lesion=seed % 2 == 0, size=128)) for seed in range(200)]
    labels = [seed % 2 == 0 for seed in range(200)]
    assert 0.2 < roc_auc_score(labels, values) < 0.8


def test_a_folder_holds_both_classes_in_many_sizes_and_its_marker(tmp_path: Path) -> None:
    phantom.write_folder(tmp_path, count=10, seed=7)
    yes, no = sorted((tmp_path / "yes").iterdir()), sorted((tmp_path / "no").iterdir())
    assert len(yes) == len(no) == 5
    assert (tmp_path / phantom.MARKER).is_file()
    assert len({imaging.decode(path.read_bytes()).size for path in yes + no}) > 5


def test_an_interrupted_folder_has_no_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "png", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        phantom.write_folder(tmp_path, count=2, seed=0)
    assert not (tmp_path / phantom.MARKER).exists()
