"""All measurements of a network, for MLflow, `metadata.json`, the gates and the model card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from model.data.perturbations import PERTURBATIONS, UNCHANGED
from model.evaluation.metrics import estimates, flat, metric_name
from model.evaluation.slices import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.arrays import Floats, Mask
    from model.data.dataset import Scan
    from model.evaluation.baselines import SourceProbe
    from model.evaluation.crossval import OutOfFold
    from model.evaluation.left_out import LeftOutSources
    from model.evaluation.metrics import Difference, Estimate, Estimates
    from model.evaluation.predictions import Predictions
    from model.evaluation.slices import Slice
    from model.networks.architectures import Head
    from model.networks.familiarity import Familiarity


@dataclass(frozen=True)
class Perturbed:
    """Metrics with every image perturbed, and the loss of balanced accuracy in percentage points."""

    roc_auc: float
    balanced_accuracy: float
    fall: float


@dataclass(frozen=True)
class Mistake:
    """An image that is classified wrongly, with its probability of YES."""

    name: str
    label: int
    probability: float


@dataclass(frozen=True)
class Refusal:
    """A fitted refusal of images that are not brain MRIs, and its cross-validated shares."""

    head: Head  # its logit's sigmoid is the brain score
    threshold: float  # images with a lower brain score are refused
    refused: dict[str, float]  # share of each other kind, by the rules or by a head trained without that kind
    counts: dict[str, int]  # number of images of each other kind
    left_out: dict[str, float]  # share of each source's (or fold's) brain MRIs, by a head that never saw it
    scores: Floats  # of the brain MRIs, by heads that never saw their source (or fold), (n,)

    @property
    def wrongly_refused(self) -> float:
        """Mean share of the brain MRIs of a source (or fold)."""
        return float(np.mean(list(self.left_out.values())))

    @property
    def rightly_refused(self) -> float:
        """Share of all other images."""
        counted = sum(self.refused[kind] * count for kind, count in self.counts.items())
        return counted / sum(self.counts.values())

    def metrics(self) -> dict[str, float]:
        """As MLflow and `metadata.json` hold them."""
        kinds = {metric_name(f"refused_kind_{kind}"): share for kind, share in self.refused.items()}
        sources = {metric_name(f"refused_mri_of_{name}"): share for name, share in self.left_out.items()}
        return {"refused_mri": self.wrongly_refused, "refused_other": self.rightly_refused} | kinds | sources


@dataclass(frozen=True)
class Reliability:
    """A fitted familiarity, and its cross-validated shares of answers that are called unreliable."""

    familiarity: Familiarity
    threshold: float  # an answer of a lower familiarity is unreliable
    known: float  # share of images of known views
    unknown: dict[str, float]  # share of the images of each plane and contrast, with that left out

    def metrics(self) -> dict[str, float]:
        """As MLflow and `metadata.json` hold them."""
        views = {metric_name(f"unreliable_unknown_{view}"): share for view, share in self.unknown.items()}
        return {"unreliable_known": self.known} | views


@dataclass(frozen=True)
class Report:
    """All measurements."""

    estimates: Estimates  # out of fold
    forest: Estimates  # of the metadata forest, likewise
    over_forest: Difference  # by how much the ROC AUC exceeds the metadata forest's
    perturbations: dict[str, Perturbed]
    slices: list[Slice]
    mistakes: list[Mistake]
    refusal: Refusal
    reliability: Reliability
    training_auc: float
    majority_accuracy: float
    left_out: LeftOutSources | None = None  # None where too few sources have both classes
    forest_left_out: Estimate | None = None  # the metadata forest's mean ROC AUC on sources left out
    sources: dict[str, tuple[int, int]] = field(default_factory=dict)  # NO and YES images; {} for one source
    source_probe: SourceProbe | None = None

    @property
    def sources_with_both(self) -> int:
        """Number of sources with both classes."""
        return sum(min(of_class) > 0 for of_class in self.sources.values()) if self.sources else 1

    @property
    def worst_perturbation(self) -> str:
        """The perturbation that costs most balanced accuracy."""
        return max(self.perturbations, key=lambda name: self.perturbations[name].fall)

    @property
    def worst_slice(self) -> Slice | None:
        """The slice with the lowest balanced accuracy among those that are large enough."""
        enough = [each for each in self.slices if each.enough]
        return min(enough, key=lambda each: each.estimates["balanced_accuracy"].value, default=None)

    def metrics(self) -> dict[str, float]:
        """Flat names and numbers, as MLflow and `metadata.json` hold them."""
        return {
            **flat(self.estimates),
            **flat({"roc_auc": self.forest["roc_auc"]}, prefix="forest_"),
            **self.refusal.metrics(),
            **self.reliability.metrics(),
            **flat({"over_forest": self.over_forest}),
            "largest_fall": self.perturbations[self.worst_perturbation].fall,
            "training_roc_auc": self.training_auc,
            "majority_accuracy": self.majority_accuracy,
            "sources_with_both": float(self.sources_with_both),
            **({"source_probe": self.source_probe.accuracy} if self.source_probe else {}),
            **(self.left_out.metrics() if self.left_out else {}),
            **(flat({"held_out_forest_roc_auc": self.forest_left_out}) if self.forest_left_out else {}),
        }

    def document(self) -> dict[str, object]:
        """Return the report for `report.json`, without the weights of refusal and familiarity."""
        return asdict(self) | {
            "refusal": self.refusal.metrics() | {"threshold": self.refusal.threshold},
            "reliability": self.reliability.metrics() | {"threshold": self.reliability.threshold},
            "left_out": self.left_out and self.left_out.document(),
        }


def measure_perturbations(out_of_fold: OutOfFold) -> dict[str, Perturbed]:
    """Test the same networks and rules on the images that were perturbed, under each of `PERTURBATIONS`."""
    perturbed = ~np.isnan(out_of_fold.outer[next(name for name in PERTURBATIONS if name != UNCHANGED)])
    measured = {}
    for perturbation in PERTURBATIONS:
        found = estimates(out_of_fold.predictions(perturbation)[perturbed])
        measured[perturbation] = (found["roc_auc"].value, found["balanced_accuracy"].value)
    unchanged = measured[UNCHANGED][1]
    return {
        perturbation: Perturbed(area, accuracy, 100 * (unchanged - accuracy))
        for perturbation, (area, accuracy) in measured.items()
    }


def measure_slices(predictions: Predictions, masks: dict[str, dict[str, Mask]]) -> list[Slice]:
    """Estimate the metrics of each slice; one with a single class is left out."""
    measured = [
        measure(by, name, predictions[mask]) for by, named in masks.items() for name, mask in named.items()
    ]
    return [each for each in measured if 0 < each.yes < each.images]


def find_mistakes(predictions: Predictions, scans: Sequence[Scan]) -> list[Mistake]:
    """List the images that are classified wrongly, the most confident mistake first."""
    labels, probabilities = predictions.cases.labels, predictions.probabilities
    order = np.argsort(-np.abs(labels - probabilities))
    return [
        Mistake(scans[index].name, int(labels[index]), float(probabilities[index]))
        for index in order
        if predictions.predicted[index] != labels[index]
    ]
