"""The table of predictions is read as it was written, so that a later network can be paired with it."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from model import predictions
from model.data import Scan
from model.judge import Judgement
from model.split import Cases, plan

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
def judged() -> list[Judgement]:
    rng = np.random.default_rng(0)
    repeats = []
    for seed in range(REPEATS):
        groups = np.r_[0, 1, 0, 1, np.arange(4, N)]
        cases = plan(np.arange(N) % 2, groups, folds=3, seed=seed)
        decisions, even = rng.integers(0, 2, size=(2, N))
        repeats.append(Judgement(cases, rng.random(N), decisions, even))
    return repeats


def reordered(each: Judgement, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Judgement:
    cases = Cases(**{field.name: getattr(each.cases, field.name)[order] for field in fields(Cases)})
    return Judgement(cases, each.probabilities[order], each.decisions[order], each.even[order])


def assert_same(one: Judgement, other: Judgement) -> None:
    for field in fields(Cases):
        assert np.array_equal(getattr(one.cases, field.name), getattr(other.cases, field.name)), field.name
    assert np.array_equal(one.probabilities, other.probabilities)
    assert np.array_equal(one.decisions, other.decisions)
    assert np.array_equal(one.even, other.even)


def test_what_is_read_is_what_was_written_in_the_order_of_the_hashes(
    scans: list[Scan], judged: list[Judgement]
) -> None:
    order = np.argsort([scan.sha256 for scan in scans])
    assert order.tolist() != sorted(order)
    read = predictions.read(predictions.write(judged, scans))
    assert len(read) == REPEATS
    for had, given in zip(read, judged, strict=True):
        assert_same(had, reordered(given, order))


def test_names_and_folders_do_not_change_the_order(scans: list[Scan], judged: list[Judgement]) -> None:
    # Given the same files in another order, as under other names
    order = np.random.default_rng(3).permutation(N)
    shuffled = [scans[place] for place in order]
    again = [reordered(each, order) for each in judged]
    for one, other in zip(
        predictions.read(predictions.write(judged, scans)),
        predictions.read(predictions.write(again, shuffled)),
        strict=True,
    ):
        assert_same(one, other)


def test_ten_repeats_stay_in_their_order(scans: list[Scan], judged: list[Judgement]) -> None:
    many = [replace(judged[0], probabilities=np.full(N, repeat / 100)) for repeat in range(12)]
    read = predictions.read(predictions.write(many, scans))
    assert [each.probabilities[0] for each in read] == [repeat / 100 for repeat in range(12)]


def test_a_row_tells_which_file_it_is_about(scans: list[Scan], judged: list[Judgement]) -> None:
    rows = list(csv.DictReader(io.StringIO(predictions.write(judged, scans))))
    assert len(rows) == N * REPEATS
    assert tuple(rows[0]) == predictions.COLUMNS
    assert (rows[3]["name"], rows[3]["sha256"], rows[3]["repeat"]) == ("yes/a, 03.png", scans[3].sha256, "1")
    assert rows[N]["repeat"] == "2"
    assert float(rows[0]["weight"]) == 0.5


def test_the_same_folds_can_be_compared_whatever_was_said(judged: list[Judgement]) -> None:
    other = [replace(each, probabilities=1 - each.probabilities, even=1 - each.even) for each in judged]
    assert predictions.paired(judged, other) == (judged, other)


@pytest.mark.parametrize("what", ["labels", "groups", "folds"])
def test_a_repeat_with_other_images_groups_or_folds_is_left_out(judged: list[Judgement], what: str) -> None:
    values = getattr(judged[1].cases, what).copy()
    values[5] += 1
    other = [judged[0], replace(judged[1], cases=replace(judged[1].cases, **{what: values}))]
    assert predictions.paired(judged, other) == (judged[:1], judged[:1])


def test_only_common_repeats_of_the_same_images_are_paired(judged: list[Judgement]) -> None:
    assert predictions.paired(judged, judged[:1]) == (judged[:1], judged[:1])
    fewer = [each[np.arange(N) < N - 1] for each in judged]
    assert predictions.paired(judged, fewer) == ([], [])
