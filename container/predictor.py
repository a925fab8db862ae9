"""The model at work: the bytes of an image in, the contract's answer out."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np
from PIL import Image

from . import imaging, metadata
from .metadata import Metadata, ModelError
from .network import Network, known_question
from .problem import Problem
from .refusal import reason_to_refuse

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KNOWN_ANSWER_TOLERANCE = 1e-3  # of a logit; machines differ by some 1e-6, a wrong file by far more


class Identity(TypedDict):
    """Which model answers; null for what a bare process was not told."""

    name: str
    version: str | None
    sha256: str | None


class Heatmap(TypedDict):
    """Where the image speaks for class 1, from 0 to 1, over the image's own area, rows from top to bottom."""

    width: int
    height: int
    values: list[list[float]]


Answer = TypedDict(
    "Answer",
    {
        "label": str,
        "class": int,
        "probability": float,
        "threshold": float,
        "model": Identity,
        "heatmap": NotRequired[Heatmap | None],
    },
)


class Predictor:
    """A loaded network with what is known about it. Not thread-safe: one call at a time."""

    def __init__(self, network: Network, about: Metadata, identity: Identity) -> None:
        self.identity = identity
        self._network = network
        self._about = about

    @classmethod
    def load(
        cls,
        model_dir: Path,
        *,
        name: str | None = None,
        version: str | None = None,
        sha256: str | None = None,
        threads: int = 1,
    ) -> Predictor:
        """Load a model directory and have it answer the known question once.

        Parameters
        ----------
        model_dir
            Holds `model.tflite` and `metadata.json`.
        name, version, sha256
            What the release calls this model; the name defaults to the one in its metadata.
        threads
            Of one inference.

        Raises
        ------
        ModelError
            The directory cannot be served: a file is missing or broken, or the network is not the one that
            `metadata.json` describes.
        """
        about = metadata.load(model_dir / "metadata.json")
        network = Network(model_dir / "model.tflite", size=about.size, threads=threads)
        if about.heatmap and not network.has_evidence:
            raise ModelError(f"{network.path}: has no evidence map, which metadata.json promises")
        logit = network.run(known_question(about.size))[0]
        if not abs(logit - about.known_logit) <= KNOWN_ANSWER_TOLERANCE:
            raise ModelError(
                f"{network.path}: answers {logit:.6f} to the known question, metadata.json says "
                f"{about.known_logit:.6f}: not the network that was exported"
            )
        return cls(network, about, {"name": name or about.name, "version": version, "sha256": sha256})

    def predict(self, data: bytes, *, heatmap: bool = False) -> Answer:
        """Judge one image file.

        Parameters
        ----------
        data
            The bytes of a JPEG or PNG file.
        heatmap
            Whether to add the heatmap, null for a network without one.

        Raises
        ------
        Problem
            400, 413 or 415 as `imaging.read` does, 422 for what is no brain MRI.
        """
        image = imaging.read(data)
        grey = imaging.grey(image)
        if reason := reason_to_refuse(image, grey):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
        logit, evidence = self._network.run(imaging.preprocess(grey, size=self._about.size))
        probability = _sigmoid(self._about.slope * logit + self._about.intercept)
        class_ = int(probability >= self._about.threshold)
        answer: Answer = {
            "label": self._about.labels[class_],
            "class": class_,
            "probability": probability,
            "threshold": self._about.threshold,
            "model": self.identity,
        }
        if heatmap:
            answer["heatmap"] = self._heatmap(evidence, grey)
        return answer

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the network's logits, shape (n,), for preprocessed images, shape (n, size, size, 1)."""
        return np.array([self._network.run(image)[0] for image in batch])

    def _heatmap(self, evidence: NDArray[np.float32] | None, grey: Image.Image) -> Heatmap | None:
        if evidence is None or self._about.heatmap is None:
            return None
        size = self._about.size
        rows, columns = evidence.shape
        left, top, right, bottom = imaging.content_box(grey.width, grey.height, size)
        own_area = (left * columns / size, top * rows / size, right * columns / size, bottom * rows / size)
        grid = Image.fromarray(evidence).resize(self._about.heatmap, Image.Resampling.BILINEAR, box=own_area)
        width, height = grid.size
        values = [[round(_sigmoid(float(cell)), 4) for cell in row] for row in np.asarray(grid)]
        return {"width": width, "height": height, "values": values}


def _sigmoid(logit: float) -> float:
    # By the hyperbolic tangent: exp would overflow for a network that is very sure.
    return 0.5 * (1 + math.tanh(0.5 * logit))
