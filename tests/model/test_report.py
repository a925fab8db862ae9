"""All that was measured, gathered: the worst is found, and what is too small for a verdict says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model import report
from model.crossval import OutOfFold
from model.data import Scan
from model.evaluate import Difference, figures
from model.judge import Judgement
from model.network import Head
from model.refusal import Refusal
from model.report import FOREST, Changed, Report
from model.robustness import AS_IT_IS, CHANGES
from model.split import Cases, plan

N, FOLDS, REPEATS = 80, 4, 3


@pytest.fixture(scope="module")
def cases() -> Cases:
    return plan(np.arange(N) % 2, np.arange(N), folds=FOLDS, seed=0)


def judged(cases: Cases, wrong: dict[int, int] | None = None) -> list[Judgement]:
    """Every image right and sure of it, but for those that some repeats get wrong: place to repeats."""
    repeats = []
    for repeat in range(REPEATS):
        said = cases.labels.copy()
        for place, times in (wrong or {}).items():
            said[place] ^= repeat < times
        sureness = 0.4 - np.arange(len(cases)) / 1000
        repeats.append(Judgement(cases, 0.5 + (2 * said - 1) * sureness, said, said))
    return repeats


@pytest.fixture(scope="module")
def whole(cases: Cases) -> Report:
    measured = figures(judged(cases, {1: 3, 2: 1}))
    refusal = Refusal(Head(np.zeros(2), 0.0), 0.3, 80, 20, 0.0125, {"page": 1.0, "organ": 0.8})
    return Report(
        figures=measured,
        rivals={"efficientnet_lite0": measured},
        baselines={FOREST: figures(judged(cases, dict.fromkeys(range(30), 3)))},
        over_forest=Difference(0.2, 0.1, 0.3, 1.0),
        naive=figures(judged(cases)),
        robustness={AS_IT_IS: Changed(0.9, 0.8, 0.0), "mirrored": Changed(0.9, 0.75, 5.0)},
        slices=[],
        mistakes=[],
        refusal=refusal,
        training_auc=0.97,
        straddling=0,
        majority_accuracy=0.5,
    )


def test_the_metrics_are_numbers_under_the_names_that_others_ask_for(whole: Report) -> None:
    metrics = whole.metrics()
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    for name in ("roc_auc", "balanced_accuracy", "sensitivity", "youden_balanced_accuracy", "brier_score"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    expected = {
        "naive_accuracy": 1.0,
        "refused_mri": 0.0125,
        "refused_other": 0.9,
        "refused_page": 1.0,
        "over_forest": 0.2,
        "over_forest_low": 0.1,
        "over_forest_high": 0.3,
        "largest_fall": 5.0,
        "training_roc_auc": 0.97,
        "straddling_groups": 0.0,
        "majority_accuracy": 0.5,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["forest_roc_auc"] == whole.baselines[FOREST]["roc_auc"].value < metrics["roc_auc"]


def test_the_document_is_json_without_the_refusals_head(whole: Report) -> None:
    document = json.loads(json.dumps(whole.document()))
    assert document["refusal"].keys() == {
        *("refused_mri", "refused_other", "refused_page", "refused_organ", "threshold")
    }
    assert document["figures"]["roc_auc"].keys() == {"value", "low", "high"}
    assert document["robustness"]["mirrored"]["fall"] == 5.0


def test_the_worst_change_is_the_one_under_which_most_is_lost(whole: Report) -> None:
    assert whole.worst_change == "mirrored"
    more = whole.robustness | {"padded": Changed(0.95, 0.7, 10.0), "cropped": Changed(0.5, 0.9, -10.0)}
    assert replace(whole, robustness=more).worst_change == "padded"


@pytest.fixture(scope="module")
def out_of_fold(cases: Cases) -> OutOfFold:
    """Networks that are right but under one change, where they say the opposite of half of the images."""
    truth = 4.0 * cases.labels - 2 + np.random.default_rng(0).normal(scale=0.3, size=(REPEATS, N))
    outer = dict.fromkeys(CHANGES, truth)
    outer["upside down"] = np.where(np.arange(N) < N / 2, -truth, truth)
    inner = np.repeat(truth[:, None], FOLDS, axis=1)
    inner[:, cases.folds == np.arange(FOLDS)[:, None]] = np.nan
    return OutOfFold([cases] * REPEATS, outer, inner, 1.0)


def test_every_change_is_measured_against_the_images_as_they_are(out_of_fold: OutOfFold) -> None:
    found = report.robustness(out_of_fold)
    assert found.keys() == CHANGES.keys()
    assert found[AS_IT_IS].fall == 0
    assert found["upside down"].fall == pytest.approx(50, abs=10)
    assert found["upside down"].roc_auc < 0.7
    assert all(changed.fall == 0 for change, changed in found.items() if change != "upside down")


def test_each_part_has_its_own_figures(cases: Cases) -> None:
    # Given networks that are wrong about the first twenty images only
    first = np.arange(N) < 20
    parts = {"place": {"first": first, "others": ~first}}
    slices = report.sliced(judged(cases, dict.fromkeys(range(20), 3)), parts)
    assert [(each.by, each.name, each.images, each.yes) for each in slices] == [
        ("place", "first", 20, 10),
        ("place", "others", 60, 30),
    ]
    assert [each.figures["balanced_accuracy"].value for each in slices] == [0, 1]


def test_a_part_with_few_groups_of_a_class_is_too_small_for_a_verdict(cases: Cases, whole: Report) -> None:
    # Given two bad parts, one of 10 groups of each class, one of a group less
    parts = {"place": {"enough": np.arange(N) < 20, "few": (np.arange(N) >= 40) & (np.arange(N) < 59)}}
    wrong = dict.fromkeys([*range(3), *range(40, 59)], 3)
    slices = report.sliced(judged(cases, wrong), parts)
    assert [(each.name, each.groups, each.enough) for each in slices] == [
        ("enough", 20, True),
        ("few", 19, False),
    ]
    # Then the worst is the worst of those with a verdict
    worst = replace(whole, slices=slices).worst_slice
    assert worst is not None
    assert worst.name == "enough"


def test_copies_do_not_make_a_part_large_enough() -> None:
    groups = np.repeat(np.arange(8), 10)
    cases = Cases(groups % 2, groups, groups // 2, np.full(N, 0.1))
    (part,) = report.sliced(judged(cases), {"all": {"all": np.ones(N, dtype=bool)}})
    assert (part.images, part.groups, part.enough) == (80, 8, False)


def test_a_part_of_one_class_is_left_out(cases: Cases, whole: Report) -> None:
    assert report.sliced(judged(cases), {"label": {"yes": cases.labels == 1}}) == []
    assert whole.worst_slice is None


@pytest.fixture(scope="module")
def scans(cases: Cases) -> list[Scan]:
    return [
        Scan(Path(("no", "yes")[label]) / f"{place}.png", int(label), f"{place:064d}")
        for place, label in enumerate(cases.labels)
    ]


def test_mistakes_of_most_repeats_are_listed_the_surest_first(cases: Cases, scans: list[Scan]) -> None:
    # Given images that all three, two, one and no repeat got wrong
    found = report.mistakes(judged(cases, {50: 3, 10: 3, 4: 2, 7: 1}), scans)
    assert [(each.name, each.label, each.repeats) for each in found] == [
        ("no/10.png", 0, 3),
        ("no/50.png", 0, 3),
        ("no/4.png", 0, 2),
    ]
    assert [each.probability for each in found[:2]] == pytest.approx([0.5 + 0.39, 0.5 + 0.35])
