"""Refusal and reliability are tested on kinds, sources and planes that they were not fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from model.networks.familiarity import FEWEST, fit_familiarity
from model.training import refusal
from model.training.refusal import UNFAMILIAR, WRONGLY_REFUSED, fit_refusal, fit_reliability

if TYPE_CHECKING:
    from model.arrays import Floats32, Names
    from model.evaluation.report import Refusal
    from model.networks.architectures import Head

    Others = dict[str, Floats32]

SCANS, WIDTH = 120, 6
KINDS = ("page", "chart", "organ")
PARTS = np.array(["a", "b", "c"])[np.arange(SCANS) % 3]
GROUPS = np.where(np.arange(SCANS) < 2, 0, np.arange(SCANS))  # one of them in two parts
SCRAMBLED = 30


def noise(*shape: int, seed: int) -> Floats32:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def scans() -> Floats32:
    """Two views; the first number is high in brain MRIs."""
    features = noise(2, SCANS, WIDTH, seed=0)
    features[..., 0] += 4
    return features


@pytest.fixture
def others() -> Others:
    found = {kind: noise(2, 40, WIDTH, seed=number) for number, kind in enumerate(KINDS, start=1)}
    for features in found.values():
        features[..., 0] -= 4
    return found


def fitted(
    scans: Floats32, others: Others, *, parts: Names = PARTS, by_rules: int = 0, **more: int
) -> Refusal:
    """Fit with scrambled images that resemble the others, and `by_rules` images more that no head sees."""
    scrambled, origins = noise(SCRAMBLED, WIDTH, seed=9), np.arange(SCRAMBLED)
    scrambled[:, 0] -= 4
    counts = {kind: features.shape[1] + by_rules for kind, features in others.items()} | more
    without = {
        str(part): (parts != part) & ~np.isin(GROUPS, GROUPS[parts == part]) for part in np.unique(parts)
    }
    return fit_refusal(
        scans, parts, without=without, others=others, scrambled=scrambled, origins=origins, counts=counts
    )


class Fitted(NamedTuple):
    """What a head was fitted to."""

    scans: Floats32
    others: Others
    scrambled: Floats32


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[Fitted]:
    found: list[Fitted] = []
    fit = refusal._fit

    def fitting(scans: Floats32, others: Others, scrambled: Floats32) -> Head:
        found.append(Fitted(scans, others, scrambled))
        return fit(scans, others, scrambled)

    monkeypatch.setattr(refusal, "_fit", fitting)
    return found


def test_separable_negatives_are_refused_and_scans_are_not(scans: Floats32, others: Others) -> None:
    found = fitted(scans, others)
    assert found.refused == dict.fromkeys(KINDS, 1.0)
    assert found.wrongly_refused <= 3 * WRONGLY_REFUSED
    assert 0 < found.threshold < 1
    # And the served head agrees
    scores = 1 / (1 + np.exp(-found.head.logits(scans[0])))
    assert np.mean(scores >= found.threshold) > 0.95
    assert all((found.head.logits(features) < 0).all() for features in others.values())


def test_no_part_and_no_kind_is_tested_with_a_head_that_has_seen_it(
    heads: list[Fitted], scans: Floats32, others: Others
) -> None:
    fitted(scans, others)
    *measured, served = heads
    for part, head in zip("abc", measured[:3], strict=True):
        own = np.isin(GROUPS, GROUPS[part == PARTS])
        assert np.array_equal(head.scans, scans[:, ~own])
        assert len(head.scrambled) == np.sum(~own[:SCRAMBLED])  # nor images made of it
        assert set(head.others) == set(KINDS)
    assert [set(KINDS) - set(head.others) for head in measured[3:]] == [{kind} for kind in KINDS]
    # And the last, which serves, is trained on everything
    assert set(served.others) == set(KINDS)
    assert np.array_equal(served.scans, scans)


def test_a_threshold_comes_from_the_other_parts(scans: Floats32, others: Others) -> None:
    # Given one part unlike all others
    scans[:, PARTS == "b", 0] -= 12
    found = fitted(scans, others)
    # Then it is refused, since a threshold from its own scores would be lower, and the others are not
    assert found.left_out["b"] > 0.9
    assert max(found.left_out["a"], found.left_out["c"]) < 0.1


def test_a_small_part_counts_as_much_as_a_large_one_in_the_threshold(scans: Floats32, others: Others) -> None:
    # Given a part of a tenth of the images, of which all score low
    small = np.arange(SCANS) % 10 == 0
    scans[:, small, 0] -= 4
    found = fitted(scans, others, parts=np.where(small, "small", PARTS))
    # Then the served threshold accepts nearly all of it
    scores = 1 / (1 + np.exp(-found.head.logits(scans[0, small])))
    assert np.mean(scores >= found.threshold) > 0.95


def test_images_refused_by_the_rules_count_as_refused(scans: Floats32, others: Others) -> None:
    # Given kinds that resemble brain MRIs, of which 40 images each pass the rules
    for features in others.values():
        features[..., 0] += 8
    found = fitted(scans, others, by_rules=60, flat=10)
    assert found.refused["flat"] == 1
    for kind in KINDS:
        assert 0.6 <= found.refused[kind] < 0.75
    assert sum(found.counts.values()) == 310


def of_planes(*planes: str, seed: int = 0) -> tuple[Floats32, Names]:
    """Floats32 of 60 images of each plane, of which another number is high in each."""
    features = noise(60 * len(planes), 12, seed=seed)
    for place in range(len(planes)):
        features[60 * place : 60 * (place + 1), place] += 10
    return features, np.repeat(planes, 60)


def test_unknown_planes_are_unreliable_and_known_ones_are_not() -> None:
    features, planes = of_planes("axial", "coronal", "sagittal")
    contrasts = np.where(np.arange(len(features)) % 2 == 0, "T1", "T2")  # which look alike
    found = fit_reliability(features, np.arange(len(features)) // 2, planes, planes, contrasts)
    assert found.known == pytest.approx(UNFAMILIAR, abs=0.08)
    assert min(found.unknown[plane] for plane in ("axial", "coronal", "sagittal")) > 0.9
    # And new images of these planes are familiar, others are not
    again, other = of_planes("axial", "coronal", "sagittal", seed=1)[0], noise(60, 12, seed=2) - 10
    assert np.mean(found.familiarity.of(again) < found.threshold) < 0.2
    assert np.mean(found.familiarity.of(other) < found.threshold) > 0.9


def test_planes_that_look_alike_are_reliable_and_an_only_one_is_not_left_out() -> None:
    features, planes = noise(120, 12, seed=0), np.repeat(["axial", "coronal"], 60)
    nothing = np.full(120, "")
    assert max(fit_reliability(features, np.arange(120), planes, planes, nothing).unknown.values()) < 0.35
    known = np.where(planes == "axial", planes, "")
    assert fit_reliability(features, np.arange(120), planes, known, nothing).unknown == {}


def test_no_familiarity_is_measured_by_what_was_fitted_to_its_group() -> None:
    # Given one group of images unlike all others, larger than the share of unreliable answers
    features, planes = of_planes("axial", "coronal")
    groups = np.where(np.arange(120) < 20, 0, np.arange(120))
    features[:20, 9] += 40
    found = fit_reliability(features, groups, planes, planes, np.full(120, ""))
    # Then they set the threshold, at which they are less familiar than to a fit that has seen them
    assert found.threshold < found.familiarity.of(features[:20]).min() - 1


def test_an_unknown_view_is_less_familiar_and_the_layer_agrees() -> None:
    # Given features of two views, of a rare one, and of a fourth that is not learnt
    rng = np.random.default_rng(0)
    views = np.repeat(["axial t1", "axial flair", "rare"], [80, 60, FEWEST - 1])
    shifts = {"axial t1": 0.0, "axial flair": 2.0, "rare": 3.0}
    features = rng.normal(size=(len(views), 12)) + np.array([[shifts[view]] for view in views])
    known, unknown = features.astype(np.float32), rng.normal(loc=-4, size=(50, 12)).astype(np.float32)
    fitted = fit_familiarity(known, views)
    assert len(fitted.means) == 3
    assert np.quantile(fitted.of(known), 0.05) > fitted.of(unknown).max()
    # Then the layer in the network computes the same
    everything = np.concatenate([known, unknown])
    computed = np.asarray(fitted.layer()(everything))
    np.testing.assert_allclose(computed[:, 0], fitted.of(everything), rtol=1e-3, atol=1e-3)
