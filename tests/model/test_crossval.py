"""No network is measured on an image whose group it has seen, and nothing chooses by the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from model.crossval import Fit, OutOfFold, choose_inside, cross_validate
from model.evaluate import roc_auc
from model.judge import fit_rule, judge
from model.robustness import AS_IT_IS
from model.split import Cases, plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.crossval import Logits

N, FOLDS, REPEATS = 90, 5, 2
MIRRORED = "mirrored"


@pytest.fixture(scope="module")
def splits() -> list[Cases]:
    """Groups of one to three images, folds drawn twice."""
    groups = np.sort(np.random.default_rng(0).integers(0, 60, size=N))
    return [plan(groups % 2, groups, folds=FOLDS, seed=seed) for seed in range(REPEATS)]


class Told:
    """Stands for a network: each fit says its own number, and all that was asked is kept."""

    def __init__(self) -> None:
        self.fits: list[Fit] = []

    def __call__(self, fit: Fit) -> Logits:
        number = float(len(self.fits))
        self.fits.append(fit)
        said = {AS_IT_IS: number + np.arange(N) / 1000}
        if fit.measured:
            said[MIRRORED] = np.where(fit.training, np.nan, 100 + said[AS_IT_IS])
        return said

    def who(self, logits: NDArray[np.float64]) -> list[Fit]:
        return [self.fits[int(logit)] for logit in logits]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def said(splits: list[Cases], told: Told) -> OutOfFold:
    return cross_validate(splits, told, seed=7)


def test_five_folds_take_fifteen_fits_each_time(told: Told, said: OutOfFold) -> None:
    assert len(told.fits) == 15 * REPEATS
    assert [sum(fit.measured for fit in told.fits), len(said.splits)] == [FOLDS * REPEATS, REPEATS]
    assert len({fit.name for fit in told.fits}) == len(told.fits)


def test_no_fit_learns_from_a_group_that_it_is_asked_about(
    splits: list[Cases], told: Told, said: OutOfFold
) -> None:
    for repeat, cases in enumerate(splits):
        for place, fit in enumerate(told.who(said.outer[AS_IT_IS][repeat])):
            assert fit.measured
            assert fit.cases is cases
            assert cases.groups[place] not in cases.groups[fit.training]


def test_what_judges_a_fold_saw_neither_the_fold_nor_the_image(
    splits: list[Cases], told: Told, said: OutOfFold
) -> None:
    for repeat, cases in enumerate(splits):
        for fold in range(FOLDS):
            row = said.inner[repeat, fold]
            own = cases.folds == fold
            assert np.isnan(row[own]).all()
            for place, fit in zip(np.flatnonzero(~own), told.who(row[~own]), strict=True):
                seen = cases.groups[fit.training]
                assert cases.groups[place] not in seen
                assert not set(cases.groups[own]) & set(seen)
                assert not fit.measured


def test_as_much_as_may_be_is_learnt_from(splits: list[Cases], told: Told, said: OutOfFold) -> None:
    for fit in told.fits:
        left_out = set(fit.cases.folds[~fit.training])
        assert len(left_out) == (1 if fit.measured else 2)
        assert set(np.flatnonzero(~fit.training)) == set(
            np.flatnonzero(np.isin(fit.cases.folds, list(left_out)))
        )


def test_every_image_is_measured_once_a_repeat_under_every_change(said: OutOfFold) -> None:
    assert said.outer.keys() == {AS_IT_IS, MIRRORED}
    assert said.outer[AS_IT_IS].shape == (REPEATS, N)
    assert np.array_equal(said.outer[MIRRORED], said.outer[AS_IT_IS] + 100)


def test_each_repeat_has_its_own_seed(told: Told, splits: list[Cases], said: OutOfFold) -> None:
    for fit in told.fits:
        assert fit.seed == 7 + next(place for place, cases in enumerate(splits) if cases is fit.cases)


def test_the_training_figure_is_of_what_was_learnt_from(splits: list[Cases]) -> None:
    # Given networks that know by heart what they learnt from, and guess the rest wrongly
    def by_heart(fit: Fit) -> Logits:
        truth = 2.0 * fit.cases.labels - 1
        return {AS_IT_IS: np.where(fit.training, truth, -truth)}

    known = cross_validate(splits, by_heart, seed=0)
    assert known.training_auc == 1
    assert roc_auc(known.outer[AS_IT_IS][0], splits[0].labels, splits[0].weights[None])[0] == 0


def out_of_fold(
    splits: list[Cases], *, inner: float | NDArray[np.float64], outer: float | NDArray[np.float64], seed: int
) -> OutOfFold:
    """Logits that are right by so much, inside and outside; the rest is noise."""
    rng = np.random.default_rng(seed)
    truth = 2.0 * splits[0].labels - 1
    measured = outer * truth + rng.normal(size=(REPEATS, N))
    rows = inner * truth + rng.normal(size=(REPEATS, FOLDS, N))
    for repeat, cases in enumerate(splits):
        rows[repeat, cases.folds == np.arange(FOLDS)[:, None]] = np.nan
    return OutOfFold(splits, {AS_IT_IS: measured, MIRRORED: measured - 1}, rows, 1.0)


def test_the_inner_area_is_that_of_the_training_side(splits: list[Cases]) -> None:
    found = out_of_fold(splits, inner=1.0, outer=0.0, seed=0)
    areas = found.inner_auc()
    for (repeat, fold), area in np.ndenumerate(areas):
        others = splits[repeat].folds != fold
        mine = splits[repeat][others]
        expected = roc_auc(found.inner[repeat, fold, others], mine.labels, mine.weights[None])[0]
        assert area == pytest.approx(expected)
    assert areas.min() > 0.8


def test_a_change_is_judged_by_the_rules_of_the_images_as_they_are(splits: list[Cases]) -> None:
    found = out_of_fold(splits, inner=1.0, outer=1.0, seed=0)
    rules = found.rules()
    all_judged = {change: found.judged(change) for change in (AS_IT_IS, MIRRORED)}
    for repeat, cases in enumerate(splits):
        for fold in range(FOLDS):
            others = cases.folds != fold
            rule = fit_rule(found.inner[repeat, fold, others], cases[others])
            assert rules[repeat][fold] == rule
        for change, judgements in all_judged.items():
            expected = judge(found.outer[change][repeat], cases, rules[repeat])
            judged = judgements[repeat]
            assert np.array_equal(judged.probabilities, expected.probabilities)
            assert np.array_equal(judged.decisions, expected.decisions)


def test_a_candidate_is_chosen_by_the_training_side_not_by_the_answer(splits: list[Cases]) -> None:
    # Given one that is good on every training side and bad where it is measured, and its opposite
    promising = out_of_fold(splits, inner=2.0, outer=0.0, seed=1)
    lucky = out_of_fold(splits, inner=0.0, outer=2.0, seed=2)
    # Then the first is chosen all the same, whatever the order
    for candidates in ([promising, lucky], [lucky, promising]):
        for chosen, expected in zip(choose_inside(candidates), promising.judged(), strict=True):
            assert np.array_equal(chosen.probabilities, expected.probabilities)
            assert np.array_equal(chosen.decisions, expected.decisions)
            assert np.array_equal(chosen.even, expected.even)


def test_each_fold_chooses_for_itself(splits: list[Cases]) -> None:
    # Given two of which each is better inside for some folds: the first for 0 and 1
    good = np.array([2.0, 2.0, 0.0, 0.0, 0.0])[:, None]
    first = out_of_fold(splits, inner=good, outer=1.0, seed=1)
    second = out_of_fold(splits, inner=2.0 - good, outer=1.0, seed=2)
    chosen, ours, theirs = choose_inside([first, second]), first.judged(), second.judged()
    for repeat, cases in enumerate(splits):
        early = cases.folds < 2
        expected = np.where(early, ours[repeat].probabilities, theirs[repeat].probabilities)
        assert np.array_equal(chosen[repeat].probabilities, expected)


def test_a_folds_own_labels_choose_nothing_for_it(splits: list[Cases]) -> None:
    first = out_of_fold(splits, inner=0.6, outer=1.0, seed=1)
    second = out_of_fold(splits, inner=0.6, outer=1.0, seed=2)
    before = choose_inside([first, second])
    for fold in range(FOLDS):
        # Given a fold of the first repeat whose labels are all turned round
        own = splits[0].folds == fold
        turned = [replace(splits[0], labels=np.where(own, 1 - splits[0].labels, splits[0].labels)), splits[1]]
        after = choose_inside([replace(each, splits=turned) for each in (first, second)])
        # Then what was said of it is as before
        assert np.array_equal(after[0].probabilities[own], before[0].probabilities[own])
        assert np.array_equal(after[0].decisions[own], before[0].decisions[own])
