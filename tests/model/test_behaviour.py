"""What a trained network does on heads that it never saw: least ability, directions, invariances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from container.imaging import preprocess
from model import phantom
from model.recipe import QUICK
from model.split import Cases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.fit import Fitter

SEEN, UNSEEN = range(160), range(1000, 1060)


def pixels(seeds: range, *, lesion: bool | None = None) -> NDArray[np.float32]:
    """Preprocessed heads; without `lesion`, every other one has one."""
    has = {seed: seed % 2 == 0 if lesion is None else lesion for seed in seeds}
    heads = [phantom.draw(seed=seed, lesion=has[seed], size=128) for seed in seeds]
    return np.stack([preprocess(head, size=QUICK.size) for head in heads])


@pytest.fixture(scope="module")
def fitted() -> Fitter:
    from model.fit import Examples, Fitter  # noqa: PLC0415 - TensorFlow

    labels, alone = np.array([seed % 2 == 0 for seed in SEEN], dtype=np.int64), np.arange(len(SEEN))
    cases = Cases(labels, alone, alone, np.ones(len(SEEN)))
    fitter = Fitter("residual_cnn", QUICK)
    fitter.fit(Examples(pixels(SEEN), cases), validation=None, report=lambda _: None)
    return fitter


@pytest.fixture(scope="module")
def healthy(fitted: Fitter) -> NDArray[np.float64]:
    return fitted.logits(pixels(UNSEEN, lesion=False))


@pytest.fixture(scope="module")
def ill(fitted: Fitter) -> NDArray[np.float64]:
    return fitted.logits(pixels(UNSEEN, lesion=True))


def test_unseen_heads_are_told_apart(healthy: NDArray[np.float64], ill: NDArray[np.float64]) -> None:
    labels = np.repeat([0, 1], len(UNSEEN))
    assert roc_auc_score(labels, np.r_[healthy, ill]) > 0.75


def test_a_lesion_speaks_for_yes(healthy: NDArray[np.float64], ill: NDArray[np.float64]) -> None:
    # The very same heads, with and without
    assert np.mean(ill > healthy) > 0.75


@pytest.mark.parametrize("change", ["mirrored", "upside down", "quarter turn", "darker"])
def test_the_answer_hardly_depends_on_what_means_nothing(
    fitted: Fitter, healthy: NDArray[np.float64], ill: NDArray[np.float64], change: str
) -> None:
    heads = np.concatenate([pixels(UNSEEN, lesion=False), pixels(UNSEEN, lesion=True)])
    changed = {
        "mirrored": heads[:, :, ::-1],
        "upside down": heads[:, ::-1],
        "quarter turn": np.rot90(heads, axes=(1, 2)),
        "darker": heads * np.float32(0.7),
    }[change]
    before, after = np.r_[healthy, ill], fitted.logits(changed)
    assert np.corrcoef(before, after)[0, 1] > 0.8


def test_the_evidence_is_strongest_where_the_lesion_is(fitted: Fitter) -> None:
    # Given heads with their lesion, and where it is: where the pair of pictures differs
    with_lesion, without = pixels(UNSEEN, lesion=True), pixels(UNSEEN, lesion=False)
    evidence = np.asarray(fitted.network(with_lesion)[1])[..., 0]
    cells = evidence.shape[1]
    differs = np.abs(with_lesion - without).reshape(len(UNSEEN), cells, -1, cells, QUICK.size // cells)
    lesion_cell = differs.mean(axis=(2, 4)).reshape(len(UNSEEN), -1).argmax(axis=1)
    # Then its cell ranks high among all cells
    ranks = evidence.reshape(len(UNSEEN), -1).argsort(axis=1).argsort(axis=1)
    mean_rank = ranks[np.arange(len(UNSEEN)), lesion_cell].mean() / (cells * cells - 1)
    assert mean_rank > 0.7
