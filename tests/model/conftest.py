from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model import data, phantom, registry, tracking
from model.recipe import QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.data import Dataset
    from model.recipe import Recipe
    from model.registry import Champion
    from model.train import TrainingResult

PHANTOMS = 48


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The default MLflow store, moved away from the tree; no test sees another store or the user's data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path_factory.mktemp("mlruns")
        patch.setattr(tracking, "STORE", folder)
        yield folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    phantom.write_folder(folder, count=PHANTOMS, seed=1)
    return data.load(folder)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """One architecture that learns whole and one from ImageNet, in a hurry."""
    return replace(
        QUICK,
        architectures=("plain_cnn", "efficientnet_lite0"),
        folds=3,
        epochs=4,
        views=1,
        size=64,
        transfer_size=96,
        per_kind=6,
    )


@pytest.fixture(scope="session")
def trained(phantoms: Dataset, tiny: Recipe) -> TrainingResult:
    """Really trained and measured, on a few phantoms."""
    from model.train import train  # noqa: PLC0415 - only who needs a training waits for TensorFlow

    return train(phantoms, tiny)


@pytest.fixture(scope="session")
def champion(trained: TrainingResult) -> Champion:
    return registry.crown(trained)


@pytest.fixture(scope="session")
def real() -> Dataset:
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        pytest.skip("TUMOR_DATA names no folder of real images")
    return data.load(Path(folder))
