"""Each source is judged by networks and a rule that saw neither it, nor its relations, nor its groups."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from model.data.cases import Cases
from model.data.perturbations import UNCHANGED
from model.evaluation.baselines import source_probe
from model.evaluation.left_out import PEOPLE, Facts, LeaveOut, leave_sources_out
from model.evaluation.left_out import TUMOUR_FREE as ALL
from model.release import gates
from tests.model.drawn_sources import CASES, JUDGED, RELATED, SOURCES, TUMOUR_FREE, Network, facts, judge
from tests.model.passing_metrics import GOOD

if TYPE_CHECKING:
    from model.evaluation.crossval import Fit, Logits
    from model.evaluation.left_out import LeftOutSources


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(CASES)


@pytest.fixture(scope="module")
def found(network: Network) -> LeftOutSources:
    return judge(network)


def test_three_sources_take_three_and_three_fits(found: LeftOutSources, network: Network) -> None:
    tumour_free = [name for name in dict.fromkeys(sorted(SOURCES.tolist())) if name in TUMOUR_FREE]
    assert [(fit.name, fit.locate) for fit in network.fits] == [
        *((f"without source {name}", True) for name in (*JUDGED, *tumour_free)),
        ("without sources mixed and second", False),
        ("without sources mixed and third", False),
        ("without sources second and third", False),
    ]
    assert LeaveOut(CASES, SOURCES, RELATED).fits == 6 + len(tumour_free)
    assert list(found.judged) == JUDGED
    assert found.judged["mixed"].related == ("boxes",)
    assert found.judged["second"].related == ()


def test_no_fit_trains_on_what_it_leaves_out(found: LeftOutSources, network: Network) -> None:
    assert found.rules.keys() == set(JUDGED)
    for fit in network.fits:
        out = set(fit.name.split(" ", 2)[2].split(" and "))
        own = np.isin(SOURCES, [*out, *(["boxes"] if "mixed" in out else [])])
        # Then neither the sources nor their relations are trained on, nor any group of them
        assert not np.isin(CASES.groups[fit.training], CASES.groups[own]).any()
        # And all else is
        assert fit.training[~np.isin(CASES.groups, CASES.groups[own])].all()


def test_the_people_of_tumour_free_sources_are_judged_by_the_folds_and_the_rule_that_serves() -> None:
    # Given networks of the folds that call everything a tumour, or nothing
    for logit, specificity in ((1e3, 0.0), (-1e3, 1.0)):
        found = judge(Network(CASES), out_of_fold=np.full(len(CASES), logit))
        people = found.tumour_free[PEOPLE].estimates["specificity"].value
        assert people == specificity
    # Then the sources that are left out whole are judged as before
    assert 0 < found.tumour_free[ALL].estimates["specificity"].value < 1


@pytest.mark.parametrize("name", JUDGED)
def test_the_rule_of_a_source_depends_on_neither_its_labels_nor_its_logits(name: str) -> None:
    # Given a source whose labels and logits are inverted, with those of all groups that it shares
    own = np.isin(CASES.groups, CASES.groups[name == SOURCES])
    network, other = Network(CASES), Network(CASES)
    other.logits = np.where(own, -7 * other.logits, other.logits)
    inverted = replace(CASES, labels=np.where(own, 1 - CASES.labels, CASES.labels))
    before, after = judge(network), judge(other, inverted)
    # Then its rule is unchanged, unlike those of the others and the one that serves
    assert after.rules[name] == before.rules[name]
    assert all(after.rules[each] != before.rules[each] for each in JUDGED if each != name)
    assert after.rule != before.rule


@pytest.mark.parametrize("copied", [(0, 1), (1,)])
def test_the_served_rule_weighs_sources_and_classes_the_same_and_has_the_target_sensitivity(
    copied: tuple[int, ...],
) -> None:
    # Given a source five times as large as before, or with five times the tumours, with the same logits
    more = (SOURCES == "second") & np.isin(CASES.labels, copied)
    every = np.r_[np.arange(len(CASES)), np.tile(np.flatnonzero(more), 4)]
    copy = np.arange(len(every)) // len(CASES) * np.arange(len(every))  # 0 for the first of each
    larger = Cases(CASES.labels[every], CASES.groups[every] + 10_000 * copy, 0 * copy, np.ones(len(every)))
    small, large = Network(CASES), Network(larger)
    small.logits[SOURCES == "second"] -= 3  # unlike the others
    large.logits = small.logits[every]
    # When the rule that serves is fitted, Then it is the same
    found = judge(small)
    before, after = found.rule, judge(large, larger, SOURCES[every]).rule
    assert after.calibration.slope == pytest.approx(before.calibration.slope, rel=0.05)
    assert after.threshold == pytest.approx(before.threshold, rel=0.05)
    # And it finds nine of ten tumours, if each source weighs the same
    caught = np.zeros(2)
    for number, (name, left_out) in enumerate(found.judged.items()):
        cases = left_out.predictions.cases
        probabilities = before.calibration.probabilities(small.logits[name == SOURCES] * (1.1 + number / 10))
        weights = cases.weights * cases.labels / cases.weights.sum()
        caught += (weights @ (probabilities >= before.threshold), weights.sum())
    assert 0.90 <= caught[0] / caught[1] < 0.93


def test_figures_are_those_of_each_source() -> None:
    # Given networks that are right on two sources, guess on one, and call every healthy head a tumour
    network = Network(CASES)
    right = 2.0 * CASES.labels - 1
    network.logits = np.select([np.isin(SOURCES, ["mixed", "second"]), SOURCES == "third"], [right, 0], 9)
    found = judge(network)
    assert [found.judged[name].estimates["roc_auc"].value for name in JUDGED] == [1, 1, 0.5]
    metrics = found.metrics()
    assert metrics["held_out_roc_auc"] == pytest.approx(2.5 / 3)
    assert metrics["held_out_worst_roc_auc"] == metrics["held_out_source_third_roc_auc"] == 0.5
    assert (
        metrics["held_out_all_tumour_free_specificity"] == metrics["held_out_source_heads_specificity"] == 0
    )
    assert found.tumour_free["heads"].estimates.keys() == {"specificity"}
    assert np.isfinite(list(metrics.values())).all()
    document = json.loads(json.dumps(found.document()))
    assert document["judged"]["third"]["estimates"]["roc_auc"]["value"] == 0.5


def test_a_source_is_judged_and_calibrated_on_its_judged_images_alone() -> None:
    # Given mad logits of the images on which one source is not judged
    judged = (SOURCES != "mixed") | (np.arange(len(CASES)) % 7 > 0)
    network, mad = Network(CASES), Network(CASES)
    mad.logits = np.where(judged, mad.logits, -50.0)
    kept = replace(facts(CASES), judged=judged)
    one, other = judge(network, facts=kept), judge(mad, facts=kept)
    assert one.metrics() == other.metrics()
    assert (one.rules, one.rule) == (other.rules, other.rule)
    assert set(one.judged["mixed"].images) == set(np.flatnonzero(judged & (SOURCES == "mixed")))
    # And among those, its classes count the same
    cases = one.judged["mixed"].predictions.cases
    assert cases.weights @ cases.labels == pytest.approx(cases.weights.sum() / 2)
    # And judging by one class is an error
    with pytest.raises(ValueError, match=r"^second: the images to judge by lack a class"):
        judge(network, facts=replace(kept, judged=(SOURCES != "second") | (CASES.labels == 1)))


def test_too_few_sources_cannot_be_left_out() -> None:
    few = np.isin(SOURCES, ["second", "third", "people"])
    cases, related = CASES[few], {"mixed": frozenset({"second"})}  # as good as one source
    for plan in (LeaveOut(cases, SOURCES[few], {}), LeaveOut(CASES, SOURCES, related)):
        assert plan.fits == 0
        assert leave_sources_out(plan, Network(plan.cases), facts=facts(plan.cases)) is None


def test_a_fit_without_the_logits_of_what_it_left_out_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"'without source mixed' returned no logit of \d+ images that it left out"
    ):
        judge(lambda fit: {UNCHANGED: np.where(SOURCES == "mixed", np.nan, 0.0 * fit.training)})


def test_parts_are_measured_by_what_is_known() -> None:
    planes = np.where(SOURCES == "second", "", np.where(CASES.groups % 2, "axial", "sagittal"))
    contrasts = np.where(SOURCES == "mixed", np.where(CASES.labels == 1, "T1", "T2"), "")
    sizes = np.where(SOURCES == "mixed", np.arange(len(SOURCES)) / 1000, np.nan)
    network = Network(CASES)
    network.logits = np.where(sizes < 0.05, -9.0, network.logits)  # misses small tumours
    found = judge(network, facts=Facts(planes, contrasts, sizes, np.ones(len(SOURCES), dtype=bool)))
    parts = {(part.by, part.name): part for part in found.judged["mixed"].slices}
    assert [by for by, _ in parts] == [*["plane"] * 2, *["contrast"] * 2, *["tumour size"] * 3]
    assert {"roc_auc", "sensitivity", "specificity"} <= parts["plane", "axial"].estimates.keys()
    assert not {"specificity", "roc_auc"} & parts["contrast", "T1"].estimates.keys()
    assert "sensitivity" not in parts["contrast", "T2"].estimates
    shares = [part.estimates["sensitivity"].value for (by, _), part in parts.items() if by == "tumour size"]
    assert shares[0] == 0 < shares[2]
    assert found.judged["second"].slices == []
    assert [part.name for part in found.tumour_free["people"].slices] == ["axial", "sagittal"]


@pytest.mark.parametrize("weighed", [True, False])
def test_a_network_that_learnt_the_sources_is_refused(*, weighed: bool) -> None:
    # Given tumours from bright sources and healthy heads from dark ones, and three sources of any brightness
    rng = np.random.default_rng(0)
    sources = np.repeat(["bright", "dark", "one", "two", "three"], [300, 300, 80, 80, 80])
    labels = np.where(sources == "bright", 1, np.where(sources == "dark", 0, np.arange(len(sources)) % 2))
    offset = np.select([sources == "bright", sources == "dark"], [6, -6], 0)
    brightness = offset + rng.normal(scale=6, size=len(sources))
    tumour = (labels + rng.normal(scale=0.5, size=len(sources))) / 8  # the harder to learn
    looks = np.stack([brightness, tumour], axis=1)
    cases = Cases(labels, np.arange(len(labels)), np.arange(len(labels)) % 5, np.ones(len(labels)))

    def train(fit: Fit) -> Logits:
        weights = np.where(np.isin(sources, ["bright", "dark"]) & weighed, 1e-3, 1.0)[fit.training]
        regression = LogisticRegression(C=0.5)
        learnt = regression.fit(looks[fit.training], labels[fit.training], sample_weight=weights)
        return {UNCHANGED: np.asarray(learnt.decision_function(looks), dtype=np.float64)}

    # When all are trained on, or almost only those that have both classes
    found = leave_sources_out(LeaveOut(cases, sources, {}), train, facts=facts(cases))
    assert found is not None
    # Then only the one that learnt the sources is refused
    metrics = GOOD | found.metrics()
    outcomes = gates.evaluate(metrics, comparable=True, over_champion=None, rival="none", dataset="drawn")
    failed = {each["name"] for each in outcomes if not each["passed"]}
    assert ("held_out_auc" in failed) is not weighed, metrics["held_out_roc_auc"]


def test_the_probe_tells_sources_that_look_different() -> None:
    rng, count = np.random.default_rng(0), 300
    sources, labels = np.repeat(["a", "b", "c"], count // 3), np.arange(count) % 2
    cases = Cases(labels, np.arange(count), np.arange(count) % 5, np.ones(count))
    noise = rng.normal(size=(count, 4))
    alike, different = noise, noise + 9 * (sources == "a")[:, None]
    told, chance = source_probe(different, sources, cases), source_probe(alike, sources, cases)
    assert told is not None
    assert chance is not None
    assert told.chance == pytest.approx(1 / 3)
    assert chance.accuracy == pytest.approx(1 / 3, abs=0.1)
    assert told.accuracy == pytest.approx(2 / 3, abs=0.1)  # one of three for sure
    assert source_probe(alike, np.where(labels == 1, "yes", "no"), cases) is None
