"""The refusal is measured on kinds of pictures, and with thresholds, that it had not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from model import refusal
from model.refusal import WRONGLY_REFUSED, fit_refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.network import Head

    Features = NDArray[np.float32]

SCANS, WIDTH = 120, 6
KINDS = ("page", "chart", "organ")


def noise(*shape: int, seed: int) -> Features:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def scans() -> Features:
    """Two versions; the first number is high in brain MRIs."""
    features = noise(2, SCANS, WIDTH, seed=0)
    features[..., 0] += 4
    return features


@pytest.fixture
def groups() -> NDArray[np.int64]:
    return np.arange(SCANS) // 2


@pytest.fixture
def pictures() -> dict[str, Features]:
    found = {kind: noise(40, WIDTH, seed=number) for number, kind in enumerate(KINDS, start=1)}
    for features in found.values():
        features[:, 0] -= 4
    return found


def drawn(pictures: dict[str, Features], *, stopped: int = 0) -> dict[str, int]:
    return {kind: len(features) + stopped for kind, features in pictures.items()}


class Watched:
    """Keeps what each head was fitted to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fits: list[tuple[Features, dict[str, Features], Features | None]] = []
        fit = refusal._fit

        def watching(scans: Features, pictures: dict[str, Features], more: Features | None) -> Head:
            self.fits.append((scans, pictures, more))
            return fit(scans, pictures, more)

        monkeypatch.setattr(refusal, "_fit", watching)


def test_what_is_told_apart_easily_is_refused_and_no_scan_is(
    scans: Features, groups: NDArray[np.int64], pictures: dict[str, Features]
) -> None:
    found = fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    assert found.refused == dict.fromkeys(KINDS, 1.0)
    assert found.wrongly_refused <= 3 * WRONGLY_REFUSED
    assert (found.scans, found.pictures) == (SCANS, 120)
    assert 0 < found.threshold < 1
    # And the head that serves says so too
    scores = 1 / (1 + np.exp(-found.head.logits(scans[0])))
    assert np.mean(scores >= found.threshold) > 0.97
    assert all((found.head.logits(features) < 0).all() for features in pictures.values())


def test_each_kind_is_judged_by_a_head_that_saw_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
    scans: Features,
    groups: NDArray[np.int64],
    pictures: dict[str, Features],
) -> None:
    watched = Watched(monkeypatch)
    fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    *measured, (all_scans, all_pictures, _) = watched.fits
    assert [set(KINDS) - set(known) for _, known, _ in measured] == [{kind} for kind in KINDS]
    # And the last, which serves, has seen everything
    assert set(all_pictures) == set(KINDS)
    assert np.array_equal(all_scans, scans)


def test_a_kind_like_no_other_is_not_known_by_having_learnt_it(
    scans: Features, groups: NDArray[np.int64], pictures: dict[str, Features]
) -> None:
    # Given one kind that differs from brain MRIs only in a way of its own
    pictures["organ"] = noise(40, WIDTH, seed=9)
    pictures["organ"][:, 0] += 4
    pictures["organ"][:, 5] += 12
    found = fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    # Then its figure is that of a head which could not know, though the served one does
    assert found.refused["organ"] < 0.3
    assert (found.head.logits(pictures["organ"]) < found.head.logits(scans[0]).min()).mean() > 0.5


def test_no_scan_is_judged_by_a_head_that_saw_its_group(
    monkeypatch: pytest.MonkeyPatch,
    scans: Features,
    groups: NDArray[np.int64],
    pictures: dict[str, Features],
) -> None:
    # Given scans that carry their number
    scans[:, :, 1] = np.arange(SCANS)
    watched = Watched(monkeypatch)
    asked: list[set[int]] = []
    score = refusal._scores

    def asking(head: Head, features: Features) -> NDArray[np.float64]:
        asked.append(set(features[:, 1].astype(int)))
        return score(head, features)

    monkeypatch.setattr(refusal, "_scores", asking)
    fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    of_scans = asked[::2]
    for (learnt, _, _), judged in zip(watched.fits[:-1], of_scans, strict=True):
        seen = set(groups[learnt[0, :, 1].astype(int)])
        assert not seen & set(groups[sorted(judged)])
    assert sorted(number for judged in of_scans for number in judged) == list(range(SCANS))


def test_a_threshold_comes_from_the_other_folds(
    scans: Features, groups: NDArray[np.int64], pictures: dict[str, Features]
) -> None:
    # Given a third of the scans, one fold, that look like nothing ever seen
    odd = groups % len(KINDS) == 0
    scans[:, odd, 0] -= 12
    found = fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    # Then that fold is refused: a threshold that knew its scores would have made way
    assert found.wrongly_refused == pytest.approx(odd.mean(), abs=0.02)


def test_what_the_rules_stop_counts_as_refused(
    scans: Features, groups: NDArray[np.int64], pictures: dict[str, Features]
) -> None:
    # Given kinds that look like brain MRIs to the network, of which the rules let 40 through
    for features in pictures.values():
        features[:, 0] += 8
    found = fit_refusal(scans, groups, pictures, drawn=drawn(pictures, stopped=60) | {"flat": 10})
    assert found.refused["flat"] == 1
    for kind in KINDS:
        assert 0.6 <= found.refused[kind] < 0.75
    assert found.pictures == 310


def test_other_brain_scans_are_learnt_from_and_not_counted(
    scans: Features, groups: NDArray[np.int64], pictures: dict[str, Features]
) -> None:
    # Given scans of another source, which the first head would take for pictures
    more = noise(200, WIDTH, seed=5)
    more[:, 0] -= 1
    plain = fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    taught = fit_refusal(scans, groups, pictures, drawn=drawn(pictures), more=more)
    assert plain.scans == taught.scans == SCANS
    assert plain.head.logits(more).mean() < 0 < taught.head.logits(more).mean()


def test_the_figures_name_every_kind(
    scans: Features, groups: NDArray[np.int64], pictures: dict[str, Features]
) -> None:
    pictures["page"][:20, 0] += 9  # half of one kind passes
    found = fit_refusal(scans, groups, pictures, drawn=drawn(pictures))
    figures = found.figures()
    assert figures.keys() == {"refused_mri", "refused_other", *(f"refused_{kind}" for kind in KINDS)}
    assert figures["refused_page"] == pytest.approx(0.5, abs=0.1)
    assert figures["refused_other"] == pytest.approx(np.mean([figures[f"refused_{kind}"] for kind in KINDS]))
    assert figures["refused_mri"] == found.wrongly_refused
