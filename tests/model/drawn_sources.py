"""Cases of several drawn sources, and fake fits on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.data.cases import Cases
from model.data.perturbations import UNCHANGED
from model.evaluation.left_out import Facts, LeaveOut, leave_sources_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.arrays import Names
    from model.evaluation.crossval import Fit, Logits
    from model.evaluation.left_out import LeftOutSources


# Images, groups and the share of YES of each source; "mixed" has groups with both classes.
MADE = {
    "mixed": (120, 30, 0.5),
    "second": (80, 80, 0.6),
    "third": (60, 60, 0.3),
    "boxes": (40, 40, 1.0),
    "people": (90, 45, 0.0),
    "heads": (20, 5, 0.0),
    "more": (12, 4, 0.0),
}
RELATED = {"mixed": frozenset({"boxes", "not here"})}
JUDGED = ["mixed", "second", "third"]
TUMOUR_FREE = {"people", "heads", "more"}


def made() -> tuple[Cases, Names]:
    """Cases of every source; one group lies on both sides of `second` and `third`."""
    rng = np.random.default_rng(0)
    sources = np.repeat(list(MADE), [images for images, _, _ in MADE.values()])
    groups = np.concatenate(
        [1000 * place + np.arange(images) % of for place, (images, of, _) in enumerate(MADE.values())]
    )
    labels = np.concatenate([(rng.random(images) < share).astype(int) for images, _, share in MADE.values()])
    groups[sources == "third"] = np.r_[groups[sources == "second"][0], groups[sources == "third"][1:]]
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Cases(labels, groups, np.zeros(len(groups), dtype=np.int64), 1 / sizes[group]), sources


def facts(cases: Cases) -> Facts:
    count = len(cases)
    nothing = np.full(count, "")
    return Facts(nothing, nothing, np.full(count, np.nan), np.ones(count, dtype=bool))


class Network:
    """Fake fits that tell the classes apart; their logits differ from fit to fit by their scale."""

    def __init__(self, cases: Cases) -> None:
        self.logits = 2.0 * cases.labels - 1 + np.random.default_rng(1).normal(scale=1.5, size=len(cases))
        self.fits: list[Fit] = []

    def __call__(self, fit: Fit) -> Logits:
        self.fits.append(fit)
        return {UNCHANGED: np.where(fit.training, np.nan, self.logits * (1 + len(self.fits) / 10))}


CASES, SOURCES = made()


def judge(
    run: Callable[[Fit], Logits], cases: Cases = CASES, sources: Names = SOURCES, **changed: object
) -> LeftOutSources:
    given = {"facts": facts(cases)} | changed
    found = leave_sources_out(LeaveOut(cases, sources, RELATED), run, **given)  # type: ignore[arg-type]
    assert found is not None
    return found
