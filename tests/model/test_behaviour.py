"""What both kinds of learner do on heads that they never saw: least ability, directions, invariances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from container.imaging import preprocess
from model import phantom, pretrain
from model.learner import learner
from model.pictures import Pictures
from model.recipe import QUICK
from model.split import Cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from model.learner import Learner
    from model.network import Head

SEEN, UNSEEN = range(160), range(1000, 1060)
RECIPE = replace(QUICK, views=1, transfer_size=96)


@dataclass(frozen=True)
class Drawn:
    """A head that is drawn when it is looked at."""

    seed: int
    lesion: bool

    def image(self) -> Image.Image:
        return phantom.draw(seed=self.seed, lesion=self.lesion, size=128)


@dataclass(frozen=True)
class Fitted:
    """A learner after its fit to the heads that it has seen."""

    learner: Learner
    head: Head
    size: int

    def logits(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.head.logits(self.learner.read(pixels))


def pixels(heads: Sequence[Drawn], *, size: int) -> NDArray[np.float32]:
    return np.stack([preprocess(head.image(), size=size) for head in heads])


@pytest.fixture(scope="module", params=["residual_cnn", "efficientnet_lite0"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """One that learns whole, and one whose trunk comes from ImageNet."""
    heads = [Drawn(seed, lesion=seed % 2 == 0) for seed in SEEN]
    labels, alone = np.array([head.lesion for head in heads], dtype=np.int64), np.arange(len(SEEN))
    cases = Cases(labels, alone, alone, np.ones(len(SEEN)))
    start = partial(pretrain.start, request.param, None, RECIPE)
    made = learner(request.param, Pictures(heads, seed=0), RECIPE, start=start)
    head = made.fit(cases, np.ones(len(SEEN), dtype=bool), seed=0, report=lambda _: None)
    return Fitted(made, head, RECIPE.input_size(request.param))


@pytest.fixture(scope="module")
def without(fitted: Fitted) -> NDArray[np.float32]:
    return pixels([Drawn(seed, lesion=False) for seed in UNSEEN], size=fitted.size)


@pytest.fixture(scope="module")
def with_lesion(fitted: Fitted) -> NDArray[np.float32]:
    """The very same heads, with a lesion."""
    return pixels([Drawn(seed, lesion=True) for seed in UNSEEN], size=fitted.size)


def test_unseen_heads_are_told_apart(
    fitted: Fitted, without: NDArray[np.float32], with_lesion: NDArray[np.float32]
) -> None:
    labels = np.repeat([0, 1], len(UNSEEN))
    assert roc_auc_score(labels, np.r_[fitted.logits(without), fitted.logits(with_lesion)]) > 0.75


def test_a_lesion_speaks_for_yes(
    fitted: Fitted, without: NDArray[np.float32], with_lesion: NDArray[np.float32]
) -> None:
    assert np.mean(fitted.logits(with_lesion) > fitted.logits(without)) > 0.75


@pytest.mark.parametrize("change", ["mirrored", "turned a little", "darker"])
def test_the_answer_hardly_depends_on_what_means_nothing(
    fitted: Fitted, without: NDArray[np.float32], with_lesion: NDArray[np.float32], change: str
) -> None:
    heads = np.concatenate([without, with_lesion])
    changed = {
        "mirrored": heads[:, :, ::-1],
        "turned a little": turned(fitted.size),
        "darker": heads * np.float32(0.8),
    }[change]
    before, after = fitted.logits(heads), fitted.logits(changed)
    assert np.corrcoef(before, after)[0, 1] > 0.8


def turned(size: int) -> NDArray[np.float32]:
    """The unseen heads without and with their lesion, turned by five degrees."""
    heads = [Drawn(seed, lesion) for lesion in (False, True) for seed in UNSEEN]
    return np.stack([preprocess(head.image().rotate(5), size=size) for head in heads])


def test_the_evidence_is_strongest_where_the_lesion_is(
    fitted: Fitted, without: NDArray[np.float32], with_lesion: NDArray[np.float32]
) -> None:
    from model import network  # noqa: PLC0415 - TensorFlow

    # Given the map of what is above the usual, and where each lesion is: where the pair of pictures differs
    plain = network.assemble(fitted.learner.trunk, tumour=fitted.head, brain=None)
    usual = plain.predict(without, verbose=0)[1][..., 0].mean(axis=0)
    serving = network.assemble(fitted.learner.trunk, tumour=fitted.head, brain=None, usual=usual)
    evidence = serving.predict(with_lesion, verbose=0)[1][..., 0]
    cells = evidence.shape[1]
    differs = np.abs(with_lesion - without).reshape(len(UNSEEN), cells, -1, cells, fitted.size // cells)
    lesion_cell = differs.mean(axis=(2, 4)).reshape(len(UNSEEN), -1).argmax(axis=1)
    # Then its cell ranks high among all cells
    ranks = evidence.reshape(len(UNSEEN), -1).argsort(axis=1).argsort(axis=1)
    mean_rank = ranks[np.arange(len(UNSEEN)), lesion_cell].mean() / (cells * cells - 1)
    assert mean_rank > 0.7
