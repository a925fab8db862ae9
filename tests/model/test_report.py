"""The report of an evaluation: its metrics, worst cases, slices and mistakes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from model.data.cases import Cases
from model.data.dataset import Scan
from model.data.perturbations import PERTURBATIONS, UNCHANGED
from model.data.split import assign_folds
from model.evaluation import report
from model.evaluation.baselines import SourceProbe
from model.evaluation.crossval import OutOfFold
from model.evaluation.metrics import Difference, estimates
from model.evaluation.predictions import Predictions
from model.evaluation.report import Perturbed, Refusal, Reliability, Report
from model.networks.architectures import Head
from model.networks.familiarity import Familiarity
from model.release import model_card
from tests.model import drawn_sources

if TYPE_CHECKING:
    from collections.abc import Iterable

N, FOLDS = 80, 4


@pytest.fixture(scope="module")
def cases() -> Cases:
    return assign_folds(np.arange(N) % 2, np.arange(N), folds=FOLDS, seed=0)


def classified(cases: Cases, *, wrong: Iterable[int] = ()) -> Predictions:
    """Confident correct predictions, but for the images with the indices `wrong`."""
    predicted = cases.labels.copy()
    predicted[list(wrong)] ^= 1
    confidence = 0.4 - np.arange(len(cases)) / 1000
    return Predictions(cases, 0.5 + (2 * predicted - 1) * confidence, predicted)


@pytest.fixture(scope="module")
def whole(cases: Cases) -> Report:
    measured = estimates(classified(cases, wrong=[1]))
    counts, left_out = {"a page": 15, "other": 5}, {"a": 0.02, "b": 0.06}
    refused = {"a page": 1.0, "other": 0.8}
    refusal = Refusal(Head(np.zeros(2), 0.0), 0.3, refused, counts, left_out, np.ones(2))
    familiarity = Familiarity(np.zeros((2, 1)), np.zeros(1), np.zeros((1, 1)))
    return Report(
        estimates=measured,
        forest=estimates(classified(cases, wrong=range(30))),
        over_forest=Difference(0.2, 0.1, 0.3, 1.0),
        perturbations={UNCHANGED: Perturbed(0.9, 0.8, 0.0), "mirrored": Perturbed(0.9, 0.75, 5.0)},
        slices=[],
        mistakes=[],
        refusal=refusal,
        reliability=Reliability(familiarity, -1.5, 0.08, {"axial": 0.75}),
        training_auc=0.97,
        majority_accuracy=0.5,
    )


def test_the_metrics_have_their_published_names(whole: Report) -> None:
    metrics = whole.metrics()
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    for name in ("roc_auc", "balanced_accuracy", "sensitivity", "brier_score"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    expected = {
        "refused_mri": 0.04,  # the mean of both sources
        "refused_other": 0.95,  # three times as many pages as others
        "refused_kind_a_page": 1.0,
        "refused_mri_of_b": 0.06,
        "unreliable_known": 0.08,
        "unreliable_unknown_axial": 0.75,
        "over_forest": 0.2,
        "over_forest_low": 0.1,
        "over_forest_high": 0.3,
        "largest_fall": 5.0,
        "training_roc_auc": 0.97,
        "majority_accuracy": 0.5,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["forest_roc_auc"] == whole.forest["roc_auc"].value < metrics["roc_auc"]


def test_the_document_is_json_without_weights(whole: Report) -> None:
    document = json.loads(json.dumps(whole.document()))
    names = {"refused_mri", "refused_other", "refused_mri_of_a", "refused_mri_of_b", "threshold"}
    assert document["refusal"].keys() == {*names, "refused_kind_a_page", "refused_kind_other"}
    assert document["reliability"].keys() == {"unreliable_known", "unreliable_unknown_axial", "threshold"}
    assert document["estimates"]["roc_auc"].keys() == {"value", "low", "high"}
    assert document["perturbations"]["mirrored"]["fall"] == 5.0


def test_the_worst_perturbation_has_the_largest_fall(whole: Report) -> None:
    assert whole.worst_perturbation == "mirrored"
    more = whole.perturbations | {"padded": Perturbed(0.95, 0.7, 10.0), "cropped": Perturbed(0.5, 0.9, -10.0)}
    assert replace(whole, perturbations=more).worst_perturbation == "padded"


@pytest.fixture(scope="module")
def out_of_fold(cases: Cases) -> OutOfFold:
    """Correct logits, except that one perturbation inverts half of them."""
    truth = 4.0 * cases.labels - 2 + np.random.default_rng(0).normal(scale=0.3, size=N)
    outer = dict.fromkeys(PERTURBATIONS, truth)
    outer["upside down"] = np.where(np.arange(N) < N / 2, -truth, truth)
    inner = np.where(cases.folds == np.arange(FOLDS)[:, None], np.nan, truth)
    return OutOfFold(cases, outer, inner, 1.0)


def test_every_perturbation_is_compared_with_the_unchanged_images(out_of_fold: OutOfFold) -> None:
    found = report.measure_perturbations(out_of_fold)
    assert found.keys() == PERTURBATIONS.keys()
    assert found[UNCHANGED].fall == 0
    assert found["upside down"].fall == pytest.approx(50, abs=10)
    assert found["upside down"].roc_auc < 0.7
    assert all(changed.fall == 0 for change, changed in found.items() if change != "upside down")


def test_each_slice_has_its_own_metrics(cases: Cases) -> None:
    # Given networks that misclassify the first twenty images only
    first = np.arange(N) < 20
    parts = {"place": {"first": first, "others": ~first}}
    slices = report.measure_slices(classified(cases, wrong=range(20)), parts)
    assert [(each.by, each.name, each.images, each.yes) for each in slices] == [
        ("place", "first", 20, 10),
        ("place", "others", 60, 30),
    ]
    assert [each.estimates["balanced_accuracy"].value for each in slices] == [0, 1]


def test_a_slice_with_few_groups_of_a_class_is_too_small_for_a_verdict(cases: Cases, whole: Report) -> None:
    # Given two bad slices, one with 10 groups of each class, one with a group less
    parts = {"place": {"enough": np.arange(N) < 20, "few": (np.arange(N) >= 40) & (np.arange(N) < 59)}}
    slices = report.measure_slices(classified(cases, wrong=[*range(3), *range(40, 59)]), parts)
    assert [(each.name, each.groups, each.enough) for each in slices] == [
        ("enough", 20, True),
        ("few", 19, False),
    ]
    # Then the worst is the worst of those with a verdict
    worst = replace(whole, slices=slices).worst_slice
    assert worst is not None
    assert worst.name == "enough"


def test_copies_do_not_make_a_slice_large_enough() -> None:
    groups = np.repeat(np.arange(8), 10)
    cases = Cases(groups % 2, groups, groups // 2, np.full(N, 0.1))
    (part,) = report.measure_slices(classified(cases), {"all": {"all": np.ones(N, dtype=bool)}})
    assert (part.images, part.groups, part.enough) == (80, 8, False)


def test_a_slice_of_one_class_is_left_out(cases: Cases, whole: Report) -> None:
    assert report.measure_slices(classified(cases), {"label": {"yes": cases.labels == 1}}) == []
    assert whole.worst_slice is None


def test_mistakes_are_listed_most_confident_first(cases: Cases) -> None:
    scans = [
        Scan(Path(("no", "yes")[label]) / f"{place}.png", int(label), f"{place:064d}")
        for place, label in enumerate(cases.labels)
    ]
    found = report.find_mistakes(classified(cases, wrong=[50, 11]), scans)
    assert [(each.name, each.label) for each in found] == [("yes/11.png", 1), ("no/50.png", 0)]
    assert [each.probability for each in found] == pytest.approx([0.5 - 0.389, 0.5 + 0.35])


METADATA: Any = {
    "name": "tumor-detector",
    "architecture": "drawn",
    "dataset": {"name": "seven", "kind": "images", "images": 80, "yes": 40, "groups": 80}
    | {"copies": 0, "skipped": 0, "fingerprint": "f" * 64},
    "split": {"folds": FOLDS, "held_out": 2},
    "recipe": {"steps": 40},
    "calibration": {"slope": 1.0, "intercept": 0.0},
    "threshold": 0.5,
    "input": {"size": 64},
    "mlflow": {"run_id": "r", "experiment": "e"},
}


def card(cases: Cases, found: Report) -> str:
    written = model_card.write(METADATA, found, classified(cases))
    return re.sub(r"!\[[^\]]*\]\([^)]*\)", "", written)


def test_the_card_leads_with_the_sources_left_out(cases: Cases, whole: Report) -> None:
    # Given three sources with both classes and tumour-free ones, with planes, contrasts and outlines
    drawn = drawn_sources.CASES
    planes, sizes = np.where(drawn.groups % 2, "axial", ""), np.arange(len(drawn)) / 1000
    facts = replace(drawn_sources.facts(drawn), planes=planes, sizes=sizes)
    found = drawn_sources.judge(drawn_sources.Network(drawn), facts=facts)
    report = replace(
        whole, left_out=found, source_probe=SourceProbe(0.61, 0.25), sources={"a": (1, 1), "b": (1, 0)}
    )
    # When its card is written
    text = card(cases, report)
    # Then its first section shows each source, their mean and range, and who was left out with whom
    first = text.split("\n## ")[1]
    assert first.startswith("Sources left out")
    rows = {line.split("|")[1].strip(): line for line in first.splitlines() if line.startswith("|")}
    for name in drawn_sources.JUDGED:
        assert str(found.judged[name].estimates["roc_auc"]) in rows[f"`{name}`"]
    assert str(found.mean["calibration_error"]) in rows["mean"]
    areas = sorted(each.estimates["roc_auc"].value for each in found.judged.values())
    assert f"{areas[0]:.3f} to {areas[-1]:.3f}" in rows["range"]
    assert str(found.tumour_free["all tumour-free"].estimates["specificity"]) in first
    assert "`mixed` was judged by networks that saw neither it nor boxes" in first
    assert re.search(r"\| people \| plane \| axial \| \d+ \(0 YES\) \| \d+ \|  \|  \| 0\.\d", first)
    assert "% of the image" in first
    # And every table is whole, and the rule that serves is said to come from there
    assert len({line.count("|") for line in first.split("By plane")[0].splitlines() if "|" in line}) == 1
    assert "sensitivity of 90 % on sources left out" in text
    assert "attributes 61 % to their source" in text
    assert "| brain MRI of b, left out | 6.0% |" in text
    assert "With all axial images left out, 75.0% of them." in text
    assert not re.search(r"\{|\}|\bnan\b|\bNone\b", first)
    # And the report is as flat and as serialisable as without
    assert report.metrics()["sources_with_both"] == 1.0
    assert report.metrics().keys() >= found.metrics().keys()
    assert json.loads(json.dumps(report.document()))["left_out"]["mean"].keys() == found.mean.keys()


def test_the_card_of_one_source_says_so_first(cases: Cases, whole: Report) -> None:
    first = card(cases, whole).split("\n## ")[1]
    assert "**Trained on one source** (`seven`)" in first
    assert whole.metrics()["sources_with_both"] == 1.0
    assert whole.document()["left_out"] is None
    two = replace(whole, sources={"a": (3, 4), "b": (5, 6), "c": (0, 9)})
    assert "**Trained on too few sources with both classes**" in card(cases, two)
    assert two.metrics()["sources_with_both"] == 2.0
