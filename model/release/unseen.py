"""A served network's predictions of images that came after its training."""

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
from model.evaluation.predictions import Predictions
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.evaluation.comparison import Scored
    from model.release.registry import ModelVersion


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
    answered = Predictions(replace(new.predictions.cases, groups=groups), probabilities, predicted, predicted)
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
