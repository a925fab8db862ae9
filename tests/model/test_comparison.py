"""Two versions compared on the images that both were tested on: pairs, groups, and the gates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from model.data.cases import Cases
from model.evaluation.comparison import EVERYTHING, Comparison, Scored, compare, shared
from model.evaluation.predictions import Predictions
from model.release import challenge
from model.release.registry import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

N = 120


def drawn(
    scores: Sequence[float] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    *,
    hashes: Sequence[int] | None = None,
    groups: Sequence[int] | None = None,
    source: str = "drawn",
) -> Scored:
    probabilities, classes = np.asarray(scores, dtype=float), np.asarray(labels)
    count = len(probabilities)
    numbers = list(hashes or range(count))
    cases = Cases(classes, np.array(groups or range(count)), np.zeros(count, dtype=int), np.ones(count))
    decided = (probabilities >= 0.5).astype(np.int64)
    names = [f"{number}.png" for number in numbers]
    sources = [source if number < N // 2 else "feedback" for number in numbers]
    return Scored(Predictions(cases, probabilities, decided), names, [f"{n:064d}" for n in numbers], sources)


def skilled(skill: float, *, seed: int = 0, count: int = N) -> Scored:
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).normal(size=count)
    return drawn(1 / (1 + np.exp(-(noise + skill * (labels - 0.5)))), labels)


def test_images_are_paired_by_their_bytes_and_not_by_their_order_or_name() -> None:
    first = drawn([0.9, 0.1, 0.8], [1, 0, 1], hashes=[3, 1, 2])
    second = drawn([0.2, 0.7, 0.6], [0, 1, 1], hashes=[1, 2, 4])
    mine, theirs, relabelled = shared(first, second)
    assert mine.sha256 == theirs.sha256 == [f"{1:064d}", f"{2:064d}"]
    assert (mine.predictions.probabilities.tolist(), theirs.predictions.probabilities.tolist()) == (
        [0.1, 0.8],
        [0.2, 0.7],
    )
    assert relabelled == ()
    assert compare(first, second).alone == (1, 1)


def test_an_image_with_another_label_is_named_and_not_compared() -> None:
    found = compare(drawn([0.9, 0.1, 0.2], [1, 0, 0]), drawn([0.9, 0.1, 0.2], [1, 0, 1]))
    assert found.relabelled == ("2.png",)
    assert (found.parts[0].images, found.alone) == (2, (0, 0))


def test_near_duplicates_by_either_networks_groups_are_one_group() -> None:
    first = drawn([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], groups=[0, 0, 1, 2])
    second = drawn([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], groups=[5, 6, 7, 7])
    cases = shared(first, second)[0].predictions.cases
    assert cases.weights.tolist() == [0.5] * 4
    assert cases.groups[0] == cases.groups[1] != cases.groups[2] == cases.groups[3]


def test_the_paired_interval_is_that_of_a_bootstrap_by_hand() -> None:
    first, second = skilled(2), skilled(1, seed=1)
    labels = first.predictions.cases.labels
    over = compare(first, second).parts[0].metrics["sensitivity"].difference
    # By hand: the same images drawn with replacement for both, within each class
    yes = np.flatnonzero(labels == 1)
    gain = (first.predictions.predicted - second.predictions.predicted)[yes].astype(float)
    draws = gain[np.random.default_rng(7).integers(len(yes), size=(20_000, len(yes)))].mean(axis=1)
    assert over.value == pytest.approx(gain.mean())
    assert [over.low, over.high] == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.02)
    assert over.better == pytest.approx((draws > 0).mean(), abs=0.03)


def test_pairing_tells_what_separate_intervals_do_not() -> None:
    # Given two networks of which one is a little better on nearly every image
    base = skilled(1)
    labels = base.predictions.cases.labels
    nudged = np.clip(base.predictions.probabilities + 0.08 * (labels - 0.5), 0, 1)
    found = compare(drawn(nudged, labels), base).parts[0].metrics["roc_auc"]
    # Then their own intervals overlap and the paired one is above 0
    assert found.first.low < found.second.high
    assert found.difference.low > 0


def test_differing_images_are_named_with_who_is_right() -> None:
    found = compare(drawn([0.9, 0.6, 0.1], [1, 0, 0]), drawn([0.4, 0.1, 0.2], [1, 0, 0]))
    assert [(each.name, each.label, each.first_is_right) for each in found.differing] == [
        ("0.png", 1, True),
        ("1.png", 0, False),
    ]
    assert found.agreement == pytest.approx(1 / 3)


def test_nothing_in_common_is_said_and_never_passes() -> None:
    found = compare(drawn([0.9], [1], hashes=[1]), drawn([0.9], [1], hashes=[2]))
    assert (found.parts, found.agreement, found.alone) == ((), None, (1, 1))
    assert verdict(found, new_images=True) == {"not_worse": False, "learnt": True}
    assert "There are none." in text(found)


def verdict(found: Comparison, *, new_images: bool) -> dict[str, bool]:
    return {each["name"]: each["passed"] for each in challenge.outcomes(found, new_images=new_images)}


@pytest.mark.parametrize(
    ("skills", "new_images", "expected"),
    [
        pytest.param((3, 1), False, {"not_worse": True, "learnt": True}, id="better"),
        pytest.param((1, 3), True, {"not_worse": False, "learnt": True}, id="worse"),
        pytest.param((2, 2), True, {"not_worse": True, "learnt": True}, id="as-good-with-new-images"),
        pytest.param((2, 2), False, {"not_worse": True, "learnt": False}, id="as-good-with-the-same"),
    ],
)
def test_a_challenger_is_judged(
    skills: tuple[float, float], new_images: bool, expected: dict[str, bool]
) -> None:
    first, second = (skilled(skill) for skill in skills)
    assert verdict(compare(first, second), new_images=new_images) == expected


def test_worse_on_one_source_is_worse_however_good_the_others_are() -> None:
    # Given a challenger that is much better on one source and much worse on the other
    good, bad = skilled(6), skilled(-3)
    half = np.arange(N) < N // 2
    mixed = np.where(half, good.predictions.probabilities, bad.predictions.probabilities)
    challenger = drawn(mixed, good.predictions.cases.labels)
    (worse, _) = challenge.outcomes(compare(challenger, skilled(1)), new_images=True)
    # Then the outcome names that source
    assert not worse["passed"]
    assert "ROC AUC -" in worse["detail"]
    assert "on feedback" in worse["detail"]


def test_too_few_images_tell_nothing() -> None:
    first, second = skilled(-3, count=12), skilled(3, count=12)
    found = compare(first, second)
    assert not found.parts[0].enough
    assert verdict(found, new_images=True)["not_worse"] is False  # nothing tells that it is not
    assert "too few to tell" in text(found)


def text(found: Comparison, **more: Any) -> str:
    version = ModelVersion("m", "1", "r" * 32, "drawn", {"refused_mri": 0.01}, "images", "a|b", "f" * 64)
    return challenge.describe(version, replace(version, version="2"), found, **more)


def test_the_description_holds_figures_gates_and_names() -> None:
    found = compare(skilled(3), skilled(1, seed=1))
    outcomes = challenge.outcomes(found, new_images=False)
    written = text(found, outcomes=outcomes, plot="plot.png")
    assert written.startswith("# m version 1 against m version 2\n")
    assert "- ✓ not_worse: " in written
    assert "![ROC curves and differences](plot.png)" in written
    assert f"| {EVERYTHING} (120 in 120 groups)" in written
    assert "a\\|b" in written
    assert all(each.name in written for each in found.differing)
    assert all(line.count("|") >= 3 for line in written.splitlines() if line.startswith("|"))


class Served(ModelVersion):
    """A version whose out-of-fold predictions are of the first images."""

    def scored(self) -> Scored:
        return drawn([0.9, 0.1], [1, 0], hashes=[0, 1])


def test_a_champions_network_answers_for_images_that_came_later_and_for_no_near_duplicate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a challenger with four more images: one near an image of the champion's, one whose file is gone
    labels, hashes = [1, 0, 1, 0, 1, 0], [0, 1, 2, 3, 4, 5]
    challenger = drawn([0.5] * 6, labels, hashes=hashes, groups=[0, 1, 1, 2, 2, 3])
    files = {f"{number:064d}": tmp_path / f"{number}.png" for number in (2, 3, 4)}
    asked: list[Path] = []

    def answers(_: ModelVersion, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        asked.extend(paths)
        return np.array([0.2, 0.7]), np.array([0, 1])

    monkeypatch.setattr(challenge, "_answers", answers)
    champion = Served("m", "1", "r" * 32, "drawn", {}, "images", "drawn", "f" * 64)
    found = challenge.with_unseen(champion, challenger, files)
    # Then it is asked for the other two alone, which stay in one group, apart from the champion's own
    assert asked == [tmp_path / "3.png", tmp_path / "4.png"]
    assert found.predictions.probabilities.tolist() == [0.9, 0.1, 0.2, 0.7]
    groups = found.predictions.cases.groups
    assert groups[2] == groups[3]
    assert len(set(groups.tolist())) == 3
    assert compare(challenger, found).alone == (2, 0)
    assert challenge.with_unseen(champion, challenger, {}).names == champion.scored().names
