"""All that was measured of a network, in one place: for MLflow, `metadata.json`, the gates and the card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from .evaluate import figures, flat
from .robustness import AS_IT_IS, CHANGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .crossval import OutOfFold
    from .data import Scan
    from .evaluate import Difference, Figures
    from .judge import Judgement
    from .refusal import Refusal

FOREST = "metadata-only forest"
"""The baseline that a network must leave behind: it sees file sizes and modes, and not one pixel."""
FEW = 10
"""Groups of each class that a slice needs for a verdict."""


@dataclass(frozen=True)
class Changed:
    """Figures under a harmless change of every image, and by how much balanced accuracy falls, in points."""

    roc_auc: float
    balanced_accuracy: float
    fall: float


@dataclass(frozen=True)
class Slice:
    """Figures of a part of the images; `enough` tells whether it is large enough for a verdict."""

    by: str
    name: str
    images: int
    groups: int
    yes: int
    enough: bool
    figures: Figures


@dataclass(frozen=True)
class Mistake:
    """An image that was decided against its label: its mean probability of YES, and in how many repeats."""

    name: str
    label: int
    probability: float
    repeats: int


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes
    ----------
    figures
        Those that are claimed: of choosing an architecture inside each fold.
    rivals, baselines
        Those of each candidate and of what needs no network.
    over_forest
        How much higher the ROC AUC is than the metadata forest's.
    naive
        What a split that ignores copies would have claimed.
    straddling
        Groups of near-duplicates on both sides of a split.
    """

    figures: Figures
    rivals: dict[str, Figures]
    baselines: dict[str, Figures]
    over_forest: Difference
    naive: Figures
    robustness: dict[str, Changed]
    slices: list[Slice]
    mistakes: list[Mistake]
    refusal: Refusal
    training_auc: float
    straddling: int
    majority_accuracy: float

    @property
    def worst_change(self) -> str:
        """The change under which balanced accuracy falls most."""
        return max(self.robustness, key=lambda change: self.robustness[change].fall)

    @property
    def worst_slice(self) -> Slice | None:
        """The slice with the lowest balanced accuracy among those that are large enough."""
        enough = [each for each in self.slices if each.enough]
        return min(enough, key=lambda each: each.figures["balanced_accuracy"].value, default=None)

    def metrics(self) -> dict[str, float]:
        """One level of names and numbers, as MLflow and `metadata.json` keep them."""
        return {
            **flat(self.figures),
            **flat({"roc_auc": self.baselines[FOREST]["roc_auc"]}, prefix="forest_"),
            **{
                f"naive_{name}": self.naive[name].value
                for name in ("roc_auc", "accuracy", "balanced_accuracy")
            },
            **self.refusal.figures(),
            "over_forest": self.over_forest.value,
            "over_forest_low": self.over_forest.low,
            "over_forest_high": self.over_forest.high,
            "largest_fall": self.robustness[self.worst_change].fall,
            "training_roc_auc": self.training_auc,
            "straddling_groups": float(self.straddling),
            "majority_accuracy": self.majority_accuracy,
        }

    def document(self) -> dict[str, object]:
        """As JSON; the refusal without its head."""
        whole = asdict(self)
        whole["refusal"] = self.refusal.figures() | {"threshold": self.refusal.threshold}
        return whole


def robustness(out_of_fold: OutOfFold) -> dict[str, Changed]:
    """Judge the same images by the same networks and rules under every change of `robustness.CHANGES`."""
    measured = {}
    for change in CHANGES:
        judged = figures(out_of_fold.judged(change))
        measured[change] = (judged["roc_auc"].value, judged["youden_balanced_accuracy"].value)
    plain = measured[AS_IT_IS][1]
    return {
        change: Changed(area, accuracy, 100 * (plain - accuracy))
        for change, (area, accuracy) in measured.items()
    }


def sliced(judged: Sequence[Judgement], parts: dict[str, dict[str, NDArray[np.bool_]]]) -> list[Slice]:
    """Measure each part of the images on its own; a part of one class only is left out."""
    measured = []
    for by, names in parts.items():
        for name, chosen in names.items():
            cases = judged[0].cases[chosen]
            groups = [len(np.unique(cases.groups[cases.labels == label])) for label in (0, 1)]
            if min(groups) == 0:
                continue
            measured.append(
                Slice(
                    by,
                    name,
                    images=len(cases),
                    groups=sum(groups),
                    yes=int(cases.labels.sum()),
                    enough=min(groups) >= FEW,
                    figures=figures([each[chosen] for each in judged]),
                )
            )
    return measured


def mistakes(judged: Sequence[Judgement], scans: Sequence[Scan]) -> list[Mistake]:
    """List the images that most repeats decided against their label, the surest first."""
    labels = judged[0].cases.labels
    wrong = np.sum([each.decisions != labels for each in judged], axis=0)
    mean = np.mean([each.probabilities for each in judged], axis=0)
    distance = np.abs(labels - mean)
    places = [place for place in np.argsort(-distance) if wrong[place] > len(judged) / 2]
    return [
        Mistake(scans[place].name, int(labels[place]), float(mean[place]), int(wrong[place]))
        for place in places
    ]
