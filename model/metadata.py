"""What travels with a network as `metadata.json`: all that serving needs and all that the card tells."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from .data import Dataset, Kind
    from .evaluate import Evaluation
    from .recipe import Recipe
    from .split import Cases

HEATMAP_CELLS = 16
"""Side of the answered heatmap; the evidence, coarser or finer, is interpolated to it."""


class Input(TypedDict):
    """What the network takes: a square of this many pixels."""

    size: int


class CalibrationFacts(TypedDict):
    """How a logit becomes a probability: sigmoid(slope * logit + intercept)."""

    method: str
    slope: float
    intercept: float


class Heatmap(TypedDict):
    """The answered heatmap's grid."""

    width: int
    height: int


class DatasetFacts(TypedDict):
    """The images: `images` distinct ones, `yes` of them with a tumour, in `groups` independent groups."""

    name: str
    kind: Kind
    fingerprint: str
    images: int
    yes: int
    groups: int
    copies: int
    skipped: int


class SplitFacts(TypedDict):
    """How the images were split; `held_out` of them were in no fold."""

    folds: int
    held_out: int


class RunFacts(TypedDict):
    """Where the training is recorded."""

    experiment: str
    run_id: str


class Metadata(TypedDict):
    """The document, without the known answer, which only the converted network can give."""

    schema: int
    name: str
    architecture: str
    labels: list[str]
    input: Input
    calibration: CalibrationFacts
    threshold: float
    heatmap: Heatmap
    dataset: DatasetFacts
    split: SplitFacts
    recipe: dict[str, float]
    metrics: dict[str, float]
    mlflow: RunFacts


def describe(
    *,
    experiment: str,
    run_id: str,
    architecture: str,
    recipe: Recipe,
    dataset: Dataset,
    cases: Cases,
    evaluation: Evaluation,
    metrics: dict[str, float],
) -> Metadata:
    """Put together what is known of one trained network."""
    return {
        "schema": 1,
        "name": experiment,
        "architecture": architecture,
        "labels": ["NO", "YES"],
        "input": {"size": recipe.size},
        "calibration": {
            "method": "platt",
            "slope": evaluation.calibration.slope,
            "intercept": evaluation.calibration.intercept,
        },
        "threshold": evaluation.threshold,
        "heatmap": {"width": HEATMAP_CELLS, "height": HEATMAP_CELLS},
        "dataset": {
            "name": dataset.name,
            "kind": dataset.kind,
            "fingerprint": dataset.fingerprint,
            "images": len(dataset.scans),
            "yes": int(dataset.labels.sum()),
            "groups": len(set(cases.groups.tolist())),
            "copies": len(dataset.copies),
            "skipped": len(dataset.skipped),
        },
        "split": {"folds": recipe.folds, "held_out": int(cases.held_out.sum())},
        "recipe": asdict(recipe),
        "metrics": metrics,
        "mlflow": {"experiment": experiment, "run_id": run_id},
    }
