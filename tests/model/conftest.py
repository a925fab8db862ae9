from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model import tracking
from model.data import dataset, phantom
from model.release import registry
from model.release.export import export
from model.training.config import QUICK
from tests.model.drawn_scans import write_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.data.dataset import Dataset
    from model.release.export import Artifact
    from model.release.registry import ModelVersion
    from model.training.config import Recipe
    from model.training.train import TrainingResult

PHANTOMS = 48


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The default MLflow store in a temporary folder, so that no test uses the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it, and undoing this removes it
        folder = tmp_path_factory.mktemp("mlruns")
        patch.setattr(tracking, "STORE", folder)
        yield folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    phantom.write_folder(folder, count=PHANTOMS, seed=1)
    return dataset.load(folder)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sources")
    write_sources(folder)
    return dataset.load(folder)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A small, fast recipe."""
    return replace(
        QUICK,
        architecture="efficientnet_lite0",
        folds=3,
        steps=40,
        batch_size=8,
        views=1,
        size=64,
        per_kind=6,
    )


@pytest.fixture(scope="session")
def trained(phantoms: Dataset, tiny: Recipe) -> TrainingResult:
    """A real training on a few phantoms."""
    from model.training.train import train  # noqa: PLC0415 - TensorFlow is slow to import

    return train(phantoms, tiny)


@pytest.fixture(scope="session")
def champion(trained: TrainingResult) -> ModelVersion:
    return registry.register_and_promote(
        trained.experiment, run_id=trained.run_id, model_uri=trained.model_uri
    )


@pytest.fixture(scope="session")
def artifact(champion: ModelVersion, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(champion, to=tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def real() -> Dataset:
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        pytest.skip("TUMOR_DATA names no folder of real images")
    return dataset.load(Path(folder))
