"""A careless split is fooled by copies, and its figures are there to show by how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from model.crossval import cross_validate
from model.data import Dataset, Scan
from model.evaluate import figures
from model.naive import FOLDS, naive_figures
from model.network import Head
from model.robustness import AS_IT_IS
from model.split import plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.backend import keras
    from model.crossval import Fit, Logits
    from model.evaluate import Figures
    from model.learner import Mask, Report
    from model.network import Reader
    from model.split import Cases

ORIGINALS, LIKENESSES = 40, 3


class ByHeart:
    """Learns each group's label by heart and knows nothing else: its features mark the group."""

    def __init__(self, groups: NDArray[np.int64]) -> None:
        self._features = np.eye(groups.max() + 1, dtype=np.float32)[groups]
        self.learnt: list[Mask] = []

    @property
    def trunk(self) -> keras.Model:
        raise NotImplementedError

    @property
    def read(self) -> Reader:
        raise NotImplementedError

    def fit(self, cases: Cases, training: Mask, *, seed: int, report: Report) -> Head:
        self.learnt.append(training)
        weights = np.zeros(self._features.shape[1])
        weights[cases.groups[training]] = 2.0 * cases.labels[training] - 1
        return Head(weights=weights, bias=0.0)

    def features(self, change: str, chosen: Mask) -> NDArray[np.float32]:
        assert change == AS_IT_IS
        return self._features[chosen]


def dataset(*, images: int, labels: NDArray[np.int64], copies: list[tuple[str, str]]) -> Dataset:
    scans = tuple(
        Scan(Path(("no", "yes")[label]) / f"{number}.png", int(label), f"{number:064d}")
        for number, label in zip(range(images), labels, strict=True)
    )
    return Dataset(folder=Path(), name="drawn", kind="images", scans=scans, copies=tuple(copies))


@pytest.fixture
def groups() -> NDArray[np.int64]:
    """Three likenesses of each head, by chance labelled YES or NO."""
    return np.repeat(np.arange(ORIGINALS), LIKENESSES)


@pytest.fixture
def labels(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(np.arange(ORIGINALS) % 2)[groups]


def careful(cases: Cases, learner: ByHeart) -> Figures:
    def run(fit: Fit) -> Logits:
        head = learner.fit(fit.cases, fit.training, seed=fit.seed, report=lambda _: None)
        return {AS_IT_IS: head.logits(learner.features(AS_IT_IS, np.ones(len(cases), dtype=bool)))}

    return figures(cross_validate([cases], run, seed=0).judged())


def test_who_learns_by_heart_looks_good_to_the_careless_and_to_nobody_else(
    groups: NDArray[np.int64], labels: NDArray[np.int64]
) -> None:
    cases = plan(labels, groups, folds=FOLDS, seed=0)
    learner = ByHeart(groups)
    careless = naive_figures(dataset(images=len(labels), labels=labels, copies=[]), cases, learner, seed=0)
    honest = careful(cases, learner)
    assert careless["roc_auc"].value > 0.95
    assert careless["accuracy"].value > 0.9
    assert honest["roc_auc"].value == pytest.approx(0.5)


def test_exact_copies_count_as_files_of_their_own_on_both_sides() -> None:
    # Given heads that resemble no other, but whose files lie there three times each
    alone = np.arange(ORIGINALS)
    labels = np.random.default_rng(0).permutation(alone % 2)
    cases = plan(labels, alone, folds=FOLDS, seed=0)
    scans = dataset(images=ORIGINALS, labels=labels, copies=[]).scans
    copies = [(f"{scan.name}-{again}", scan.name) for again in range(2) for scan in scans]
    # Then who learns by heart is as good as the copies make it, and without them no better than chance
    fooled, sober = (
        naive_figures(dataset(images=ORIGINALS, labels=labels, copies=given), cases, ByHeart(alone), seed=0)
        for given in (copies, [])
    )
    assert fooled["roc_auc"].value > 0.9
    assert sober["roc_auc"].value == pytest.approx(0.5)


def test_each_file_is_left_out_once_though_its_copy_may_be_learnt_from() -> None:
    alone = np.arange(ORIGINALS)
    cases = plan(alone % 2, alone, folds=FOLDS, seed=0)
    learner = ByHeart(alone)
    naive_figures(dataset(images=ORIGINALS, labels=alone % 2, copies=[]), cases, learner, seed=0)
    assert len(learner.learnt) == FOLDS
    assert np.sum([~training for training in learner.learnt], axis=0).tolist() == [1] * ORIGINALS
