"""Drift is found where there is some, and nowhere else; what so few images cannot tell is said."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from scripts.monitoring.drift import (
    NoReferenceError,
    Reference,
    merged,
    reference_of,
    shifts,
)
from tests.monitoring.served import artifact, drawn, histograms, reference, verdicts

RNG = np.random.default_rng(16)
TRAINED = drawn(400, np.random.default_rng(7))
KNOWN = Reference.parse(reference(TRAINED))


def test_only_the_statistic_that_moved_is_named_with_its_direction() -> None:
    moved = drawn(500, RNG, contrast=0.8)
    drifted = [each for each in shifts(histograms(KNOWN, moved)) if each.verdict == "drift"]
    assert [(each.statistic, each.direction) for each in drifted] == [("grey_spread", "lower")]


def test_twenty_images_are_too_few_however_far_they_moved_and_it_says_how_many_would_do() -> None:
    found = shifts(histograms(KNOWN, drawn(20, RNG, contrast=0.2)))
    assert {each.verdict for each in found} == {"too few"}
    enough = max(each.enough or 0 for each in found)
    assert 100 < enough < 300
    assert "too few" not in verdicts(drawn(enough, RNG), KNOWN).values()
    assert "too few" in verdicts(drawn(enough - 1, RNG), KNOWN).values()


def test_a_small_reference_says_that_no_number_of_answers_would_do() -> None:
    known = Reference.parse(reference(drawn(30, RNG)))
    found = shifts(histograms(known, drawn(5000, RNG)))
    assert {each.verdict for each in found} == {"too few"}
    assert {each.enough for each in found if each.statistic != "format"} == {None}


def test_the_error_is_shared_by_the_models_of_a_run() -> None:
    counted = histograms(KNOWN, drawn(500, RNG))
    alone, beside = shifts(counted)[0], shifts(counted, models=3)[0]
    assert beside.by_chance > alone.by_chance


def test_a_format_that_training_never_saw_is_drift() -> None:
    strange = drawn(500, RNG) | {"format": np.full(500, "tiff")}
    assert verdicts(strange, KNOWN)["format"] == "drift"


def test_a_constant_statistic_is_judged_by_what_lies_beside_it() -> None:
    known = Reference.parse(reference(TRAINED | {"side": np.full(400, 512.0)}))
    assert verdicts(drawn(500, RNG) | {"side": np.full(500, 512.0)}, known)["side"] == "no drift"
    assert verdicts(drawn(500, RNG) | {"side": np.full(500, 256.0)}, known)["side"] == "drift"


def test_bins_merge_to_ten_groups_of_equal_share_and_a_heavy_bin_stays_alone() -> None:
    assert np.bincount(merged(np.full(20, 25))).tolist() == [2] * 10
    heavy = np.array([0, 0, 0, 500, 0, 0])
    assert merged(heavy).tolist() == [0, 0, 0, 1, 2, 2]


def test_a_bin_holds_its_lower_edge_and_every_answer_is_in_one() -> None:
    assert KNOWN.bin("content", KNOWN.edges["content"][3]) == 4
    counts = histograms(KNOWN, drawn(5000, RNG)).counts
    assert {name: int(each.sum()) for name, each in counts.items()} == dict.fromkeys(KNOWN.counts, 5000)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (artifact(None), "trained before there was one"),
        (artifact(b"{}"), "malformed"),
        (artifact(b'{"schema": 2}'), "schema 2"),
        (artifact(json.dumps({"schema": 1, "statistics": []}).encode()), "malformed"),
        (artifact(reference(TRAINED))[:200], "no model.tar.gz"),
        (b"", "no model.tar.gz"),
    ],
)
def test_an_artifact_without_a_usable_reference_says_why(archive: bytes, reason: str) -> None:
    with pytest.raises(NoReferenceError, match=reason):
        reference_of(io.BytesIO(archive))
    assert reference_of(io.BytesIO(artifact(reference(TRAINED)))).counts["side"].sum() == 400
