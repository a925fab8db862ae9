"""A table of predictions is read back unchanged and can be paired with those of a later network."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from model.data.cases import Cases
from model.data.dataset import Scan
from model.data.split import assign_folds
from model.evaluation import predictions
from model.evaluation.predictions import Predictions

N, REPEATS = 24, 2


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    """In the order of their names, which is not that of their hashes."""
    return [
        Scan(Path(("no", "yes")[number % 2]) / f"a, {number:02d}.png", number % 2, digest)
        for number in range(N)
        for digest in (hashlib.sha256(bytes([number])).hexdigest(),)
    ]


@pytest.fixture(scope="module")
def classified() -> list[Predictions]:
    rng = np.random.default_rng(0)
    repeats = []
    for seed in range(REPEATS):
        groups = np.r_[0, 1, 0, 1, np.arange(4, N)]
        cases = assign_folds(np.arange(N) % 2, groups, folds=3, seed=seed)
        decisions, youden = rng.integers(0, 2, size=(2, N))
        repeats.append(Predictions(cases, rng.random(N), decisions, youden))
    return repeats


def columns(each: Predictions) -> list[np.ndarray]:
    of_cases = (getattr(each.cases, field.name) for field in fields(Cases))
    return [*of_cases, each.probabilities, each.predicted, each.predicted_youden]


def test_a_table_is_read_back_in_the_order_of_the_hashes(
    scans: list[Scan], classified: list[Predictions]
) -> None:
    order = np.argsort([scan.sha256 for scan in scans])
    assert order.tolist() != sorted(order)
    read = predictions.read_csv(predictions.write_csv(classified, scans))
    assert len(read) == REPEATS
    for found, written in zip(read, classified, strict=True):
        for ours, theirs in zip(columns(found), columns(written), strict=True):
            assert np.array_equal(ours, theirs[order])


def test_ten_repeats_stay_in_their_order(scans: list[Scan], classified: list[Predictions]) -> None:
    many = [replace(classified[0], probabilities=np.full(N, repeat / 100)) for repeat in range(12)]
    read = predictions.read_csv(predictions.write_csv(many, scans))
    assert [each.probabilities[0] for each in read] == [repeat / 100 for repeat in range(12)]


@pytest.mark.parametrize("what", ["labels", "groups", "folds"])
def test_a_repeat_with_other_images_groups_or_folds_is_left_out(
    classified: list[Predictions], what: str
) -> None:
    values = getattr(classified[1].cases, what).copy()
    values[5] += 1
    other = [classified[0], replace(classified[1], cases=replace(classified[1].cases, **{what: values}))]
    assert predictions.paired(classified, other) == (classified[:1], classified[:1])


def test_common_repeats_of_the_same_images_are_paired(classified: list[Predictions]) -> None:
    other = [
        replace(each, probabilities=1 - each.probabilities, predicted_youden=1 - each.predicted_youden)
        for each in classified
    ]
    assert predictions.paired(classified, other) == (classified, other)
    assert predictions.paired(classified, other[:1]) == (classified[:1], other[:1])
    fewer = [each[np.arange(N) < N - 1] for each in classified]
    assert predictions.paired(classified, fewer) == ([], [])
