"""One model, one server and one image for all tests that do not change them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.container import containers
from tests.container.serving import ROOT, Server, serving
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_dir(tmp_path_factory.mktemp("model"), logit=2.0)


@pytest.fixture(scope="session")
def old_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of schema 2 that predicts NO."""
    return make_model_dir(tmp_path_factory.mktemp("old"), logit=-2.0, familiarity=None)


@pytest.fixture(scope="session")
def refusing_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that predicts YES, refuses images brighter than half, and knows the others."""
    return make_model_dir(tmp_path_factory.mktemp("refusing"), logit=2.0, brain_logit=4.0, familiarity=6.0)


@pytest.fixture(scope="session")
def server(model_dir: Path) -> Iterator[Server]:
    release = {"MODEL_NAME": "tumor-detector", "MODEL_VERSION": "7", "MODEL_SHA256": "ab" * 32}
    with serving(model_dir, **release) as running:
        yield running


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the image's build context, made when the tests begin."""
    copy = tmp_path_factory.mktemp("context") / "container"
    return shutil.copytree(ROOT / "container", copy, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="session")
def image(context: Path) -> str:
    """The serving image, built from the Dockerfile."""
    return containers.build(containers.TAG, context)
