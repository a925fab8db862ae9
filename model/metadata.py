"""What travels with a network as `metadata.json`: all that serving needs and all that the card tells."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, TypedDict

from .data import model_name

if TYPE_CHECKING:
    from .data import Kind
    from .judge import Rule
    from .refusal import Refusal
    from .study import Study

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


class RefusalFacts(TypedDict):
    """An image whose score of being a brain MRI is lower is refused."""

    threshold: float


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
    """How the images were split; the served network did not learn from `held_out` of them."""

    folds: int
    repeats: int
    held_out: int


class PretrainingFacts(TypedDict):
    """What the trunk learnt from before: other images, told apart by type."""

    name: str
    fingerprint: str
    images: int
    copies: int
    types: list[str]


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
    refusal: RefusalFacts
    heatmap: Heatmap
    dataset: DatasetFacts
    pretraining: PretrainingFacts | None
    split: SplitFacts
    recipe: dict[str, object]
    metrics: dict[str, float]
    mlflow: RunFacts


def describe(
    study: Study,
    *,
    run_id: str,
    architecture: str,
    rule: Rule,
    refusal: Refusal,
    metrics: dict[str, float],
) -> Metadata:
    """Put together what is known of one trained network."""
    dataset, recipe, typed = study.dataset, study.recipe, study.typed
    experiment = model_name(dataset)
    return {
        "schema": 2,
        "name": experiment,
        "architecture": architecture,
        "labels": ["NO", "YES"],
        "input": {"size": recipe.input_size(architecture)},
        "calibration": {
            "method": "platt",
            "slope": rule.calibration.slope,
            "intercept": rule.calibration.intercept,
        },
        "threshold": rule.threshold,
        "refusal": {"threshold": refusal.threshold},
        "heatmap": {"width": HEATMAP_CELLS, "height": HEATMAP_CELLS},
        "dataset": {
            "name": dataset.name,
            "kind": dataset.kind,
            "fingerprint": dataset.fingerprint,
            "images": len(dataset.scans),
            "yes": int(dataset.labels.sum()),
            "groups": len(set(study.cases.groups.tolist())),
            "copies": len(dataset.copies),
            "skipped": len(dataset.skipped),
        },
        "pretraining": {
            "name": typed.folder.name,
            "fingerprint": typed.fingerprint,
            "images": len(typed.scans),
            "copies": study.copies,
            "types": list(typed.types),
        }
        if typed
        else None,
        "split": {
            "folds": recipe.folds,
            "repeats": recipe.repeats,
            "held_out": int(study.held_out.sum()),
        },
        "recipe": asdict(recipe),
        "metrics": metrics,
        "mlflow": {"experiment": experiment, "run_id": run_id},
    }
