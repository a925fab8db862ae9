"""One model and one server for all tests that only ask questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tiny_model import make_model_dir

from . import containers
from .serving import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_dir(tmp_path_factory.mktemp("model"), says=2.0)


@pytest.fixture(scope="session")
def blind_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says NO and has no evidence map."""
    return make_model_dir(tmp_path_factory.mktemp("blind"), says=-2.0, heatmap=False)


@pytest.fixture(scope="session")
def picky_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says YES, and refuses what is brighter than half."""
    return make_model_dir(tmp_path_factory.mktemp("picky"), says=2.0, brain=4.0)


@pytest.fixture(scope="session")
def server(model_dir: Path) -> Iterator[Server]:
    release = {"MODEL_NAME": "tumor-detector", "MODEL_VERSION": "7", "MODEL_SHA256": "ab" * 32}
    with serving(model_dir, **release) as running:
        yield running


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image is built from, as it is when the tests begin."""
    return containers.copy_context(tmp_path_factory.mktemp("context") / "container")


@pytest.fixture(scope="session")
def image(context: Path) -> str:
    """The serving image, built from the Dockerfile."""
    return containers.build(containers.TAG, context)
