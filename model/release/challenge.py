"""A challenger against the champion: on images that came later, by its gates, and in writing."""

from __future__ import annotations

import tempfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np

from container import imaging, metadata
from container.predictor import Predictor
from model.data.scan import decode_file
from model.evaluation.calibration import Calibration
from model.evaluation.comparison import EVERYTHING
from model.evaluation.predictions import Predictions
from model.progress import progress
from model.release import model_card
from model.release.model_card import LISTED, TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model.evaluation.comparison import Comparison, Scored
    from model.evaluation.metrics import Difference
    from model.release.gates import Outcome
    from model.release.registry import ModelVersion

COMPARED = ("roc_auc",)
"""Figures by which a challenger must not be worse on any source. Threshold and calibration are fitted to all
sources together: a new one moves them for the others, whatever the network learnt."""
COMPARED_IN_ALL = (*COMPARED, "balanced_accuracy", "calibration_error")
"""On all images. Sensitivity and specificity trade against each other by the threshold alone and have a gate
each: their mean is compared."""
OF_TRAININGS = (
    *("held_out_roc_auc", "held_out_balanced_accuracy", "held_out_calibration_error"),
    *("held_out_all_tumour_free_specificity", "refused_other", "refused_mri", "largest_fall"),
)
"""Figures of gates that each training measured on its own images."""


def with_unseen(champion: ModelVersion, challenger: Scored, files: Mapping[str, Path]) -> Scored:
    """Add to a champion's out-of-fold predictions those of the challenger's images that it never saw.

    Images in a group with one of the champion's stay out, and those of which `files` has no path by hash.
    """
    known, cases = champion.scored(), challenger.predictions.cases
    seen = np.isin(cases.groups, cases.groups[np.isin(challenger.sha256, known.sha256)])
    new = challenger.at(
        [place for place in np.flatnonzero(~seen).tolist() if challenger.sha256[place] in files]
    )
    if not new.names:
        return known
    probabilities, predicted = _answers(champion, [files[sha256] for sha256 in new.sha256])
    groups = new.predictions.cases.groups + known.predictions.cases.groups.max() + 1
    answered = Predictions(replace(new.predictions.cases, groups=groups), probabilities, predicted)
    joined: Scored = _joined(known, replace(new, predictions=answered))
    return joined


def _answers(version: ModelVersion, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the network's probability and class of each image, refused or not."""
    with tempfile.TemporaryDirectory() as scratch:
        download = mlflow.artifacts.download_artifacts
        folder = Path(download(run_id=version.run_id, artifact_path="serving", dst_path=scratch))
        about, predictor = metadata.load(folder / "metadata.json"), Predictor.load(folder)
        images = (decode_file(path)[0] for path in progress(paths, f"asking version {version.version}"))
        logits = [
            predictor.outputs(imaging.preprocess(each, size=about.size)[None]).logits[0] for each in images
        ]
    probabilities = Calibration(about.slope, about.intercept).probabilities(np.array(logits))
    return probabilities, (probabilities >= about.threshold).astype(np.int64)


def _joined(first: Any, second: Any) -> Any:
    """Join arrays, lists, or dataclasses of them."""
    if is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in fields(first)]
        return replace(
            first, **{name: _joined(getattr(first, name), getattr(second, name)) for name in names}
        )
    return np.concatenate([first, second]) if isinstance(first, np.ndarray) else [*first, *second]


def outcomes(comparison: Comparison, *, new_images: bool) -> list[Outcome]:
    """Return whether the first network, as the challenger of the second, passes.

    It is worse where the whole interval of a compared metric's difference is. Without new images it must also
    be better in one: otherwise nothing was learnt, and a release would be a change for its own sake. With new
    images "not worse" is enough, since it knows more.
    """
    compared = [
        (part.name, name, part.metrics[name].difference)
        for part in comparison.parts
        for name in (COMPARED_IN_ALL if part.name == EVERYTHING else COMPARED)
        if part.enough and name in part.metrics
    ]
    worse: list[str] = []
    better: list[str] = []
    for images, name, over in compared:
        lower, higher = (better, worse) if name == "calibration_error" else (worse, better)
        if over.high < 0 or over.low > 0:
            (lower if over.high < 0 else higher).append(f"{TITLES[name]} {_signed(over)} on {images}")
    of = "other images than the champion" if new_images else "the same images as the champion"
    detail = (
        "; ".join(worse) or f"no difference is below the champion's, of {len(compared)} with enough images"
    )
    gained = f"better: {'; '.join(better)}" if better else "no difference is above the champion's"
    return [
        {"name": "not_worse", "passed": bool(compared) and not worse, "detail": detail},
        {"name": "learnt", "passed": new_images or bool(better), "detail": f"trained on {of}; {gained}"},
    ]


def describe(
    first: ModelVersion,
    second: ModelVersion,
    comparison: Comparison,
    outcomes: Sequence[Outcome] = (),
    *,
    plot: str | None = None,
) -> str:
    """Describe a comparison as Markdown; `outcomes` are of gates, `plot` is the name of its file."""
    versions = (first, second)
    names = [f"{each.name} version {each.version}" for each in versions]
    paired = []
    for part in comparison.parts:
        few = "" if part.enough else ", too few to tell"
        title = f"{part.name} ({part.images} in {part.groups} groups{few})"
        for name, each in part.metrics.items():
            paired.append([title, TITLES[name], str(each.first), str(each.second), _signed(each.difference)])
            title = ""
    return model_card.render(
        "comparison.md.jinja",
        table=_table,
        names=names,
        versions=[
            ["model", *names],
            ["architecture", *(each.architecture for each in versions)],
            ["trained on", *(each.dataset_name for each in versions)],
            ["MLflow run", *(each.run_id for each in versions)],
        ],
        comparison=comparison,
        outcomes=outcomes,
        plot=plot,
        listed=LISTED,
        paired=paired,
        own=[
            [name, *(f"{each.metrics[name]:.3f}" if name in each.metrics else "-" for each in versions)]
            for name in OF_TRAININGS
            if any(name in each.metrics for each in versions)
        ],
        differing=[
            [
                *(each.name, ("NO", "YES")[each.label], f"{each.first:.2f}", f"{each.second:.2f}"),
                "BA"[each.first_is_right],
            ]
            for each in comparison.differing
        ],
    )


def _signed(over: Difference) -> str:
    return f"{over.value:+.3f} ({over.low:+.3f} to {over.high:+.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table whose columns line up where it is read as text."""
    if not rows:
        return "There are none."
    cells = [[each.replace("|", "\\|") for each in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)
