"""A served network's predictions of images that came after its training."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np

from container import imaging, metadata
from container.predictor import Predictor
from model.data.cases import Cases
from model.data.scan import decode_file
from model.evaluation.calibration import Calibration
from model.evaluation.comparison import Scored
from model.evaluation.predictions import Predictions
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.release.registry import ModelVersion

AFTER = -1
"""In place of a fold: images on which no fold's network was tested."""


def with_unseen(champion: ModelVersion, challenger: Scored, files: Mapping[str, Path]) -> Scored:
    """Add to a champion's out-of-fold predictions those of images that only its challenger has.

    Its network never saw them, nor a near-duplicate: images in a group with one of the champion's stay out.

    Parameters
    ----------
    files
        Where the challenger's images are, by hash; those that are not there stay out.
    """
    known = champion.scored()
    cases, seen = challenger.predictions.cases, np.isin(challenger.sha256, known.sha256)
    close = np.isin(cases.groups, cases.groups[seen])
    places = [
        place
        for place, sha256 in enumerate(challenger.sha256)
        if not seen[place] and not close[place] and sha256 in files
    ]
    if not places:
        return known
    new = challenger.at(places)
    probabilities, predicted = _answers(champion, [files[sha256] for sha256 in new.sha256])
    groups = new.predictions.cases.groups + known.predictions.cases.groups.max() + 1
    there = replace(new.predictions.cases, groups=groups, folds=np.full(len(places), AFTER))
    answered = Predictions(there, probabilities, predicted, predicted)
    return Scored(
        _joined(known.predictions, answered),
        [*known.names, *new.names],
        [*known.sha256, *new.sha256],
        [*known.sources, *new.sources],
    )


def _answers(version: ModelVersion, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the network's probability and class of each image, refused or not."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(
            mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path="serving", dst_path=scratch
            )
        )
        about, predictor = metadata.load(folder / "metadata.json"), Predictor.load(folder)
        logits = [
            predictor.outputs(imaging.preprocess(decode_file(path)[0], size=about.size)[None]).logits[0]
            for path in progress(paths, f"asking {version.name} version {version.version}")
        ]
    probabilities = Calibration(about.slope, about.intercept).probabilities(np.array(logits))
    return probabilities, (probabilities >= about.threshold).astype(np.int64)


def _joined(first: Predictions, second: Predictions) -> Predictions:
    def both(name: str) -> np.ndarray:
        parts = (getattr(each.cases if hasattr(each.cases, name) else each, name) for each in (first, second))
        return np.concatenate([*parts])

    cases = Cases(*(both(name) for name in ("labels", "groups", "folds", "weights")))
    return Predictions(cases, *(both(name) for name in ("probabilities", "predicted", "predicted_youden")))
