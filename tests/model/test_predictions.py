"""A table of predictions is read back unchanged and can be paired with those of a later network."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from model.data.dataset import Scan
from model.data.split import assign_folds
from model.evaluation import predictions
from model.evaluation.predictions import Predictions

N = 24


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    """In the order of their names, which is not that of their hashes."""
    return [
        Scan(Path(("no", "yes")[number % 2]) / f"a, {number:02d}.png", number % 2, digest)
        for number in range(N)
        for digest in (hashlib.sha256(bytes([number])).hexdigest(),)
    ]


@pytest.fixture(scope="module")
def classified() -> Predictions:
    rng = np.random.default_rng(0)
    groups = np.r_[0, 1, 0, 1, np.arange(4, N)]
    cases = assign_folds(np.arange(N) % 2, groups, folds=3, seed=0)
    return Predictions(cases, rng.random(N), rng.integers(0, 2, size=N))


def test_a_table_is_read_back_in_the_order_of_the_hashes(scans: list[Scan], classified: Predictions) -> None:
    order = np.argsort([scan.sha256 for scan in scans])
    assert order.tolist() != sorted(order)
    read, names, hashes = predictions.read_csv(predictions.write_csv(classified, scans))
    np.testing.assert_equal(asdict(read), asdict(classified[order]))
    assert [*zip(names, hashes, strict=True)] == [(scans[place].name, scans[place].sha256) for place in order]


def test_of_several_repeats_in_a_file_of_an_earlier_release_the_first_is_read(
    scans: list[Scan], classified: Predictions
) -> None:
    second = replace(classified, probabilities=1 - classified.probabilities)
    header, *rows = predictions.write_csv(classified, scans).splitlines()
    others = predictions.write_csv(second, scans).splitlines()[1:]
    lines = [f"repeat,{header}", *(f"2,{row}" for row in others), *(f"1,{row}" for row in rows)]
    read, alone = (predictions.read_csv("\n".join(each))[0] for each in (lines, [header, *rows]))
    np.testing.assert_equal(asdict(read), asdict(alone))


@pytest.mark.parametrize("what", ["labels", "groups", "folds"])
def test_predictions_of_the_same_images_groups_and_folds_alone_are_paired(
    classified: Predictions, what: str
) -> None:
    assert predictions.paired(classified, replace(classified, probabilities=1 - classified.probabilities))
    values = getattr(classified.cases, what).copy()
    values[5] += 1
    other = replace(classified, cases=replace(classified.cases, **{what: values}))
    assert not predictions.paired(classified, other)
    assert not predictions.paired(classified, classified[np.arange(N) < N - 1])
