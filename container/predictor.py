"""The model at work: the bytes of an image in, the contract's answer out."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

import numpy as np
from PIL import Image

from . import imaging, metadata
from .metadata import Metadata, ModelError
from .network import Network, known_question
from .problem import Problem
from .refusal import reason_to_refuse, unlike_a_brain

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
    """What each place speaks for: the probability of class 1 if the whole image looked like this cell.

    The grid covers the image's own area, not its padding; rows from top to bottom.
    """

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


class Seen(NamedTuple):
    """An image that may be a brain MRI, as it goes to the network."""

    grey: Image.Image  # upright, mode L
    pixels: NDArray[np.float32]  # preprocessed, shape (size, size, 1)


class Readings(NamedTuple):
    """What a network says of n images, before calibration; None for what it does not give."""

    logits: NDArray[np.float64]  # shape (n,)
    brain_logits: NDArray[np.float64] | None  # shape (n,)
    evidence: NDArray[np.float32] | None  # shape (n, rows, columns)


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
        if about.refusal_threshold is not None and not network.has_brain:
            raise ModelError(f"{network.path}: has no brain logit, but metadata.json promises a refusal")
        predictor = cls(network, about, {"name": name or about.name, "version": version, "sha256": sha256})
        predictor.check()
        return predictor

    def check(self) -> None:
        """Have the network answer the known question.

        Raises
        ------
        ModelError
            The answer is not the one in `metadata.json`.
        """
        logit, known = self._network.run(known_question(self._about.size)).logit, self._about.known_logit
        if not abs(logit - known) <= KNOWN_ANSWER_TOLERANCE:
            raise ModelError(
                f"{self._network.path}: answers {logit:.6f} to the known question, metadata.json says "
                f"{known:.6f}: not the network that was exported"
            )

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
            As `see` and `judge` do.
        """
        return self.judge(self.see(data), heatmap=heatmap)

    def see(self, data: bytes) -> Seen:
        """Decode and preprocess one image file.

        Raises
        ------
        Problem
            400, 413 or 415 as `imaging.decode` does, 422 for what no brain MRI is, with the reason.
        """
        image = imaging.read(data)
        grey = imaging.grey(image)
        if reason := reason_to_refuse(image, grey):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
        return Seen(grey, imaging.preprocess(grey, size=self._about.size))

    def judge(self, seen: Seen, *, heatmap: bool = False) -> Answer:
        """Have the network judge what was seen.

        Raises
        ------
        Problem
            422 for what the network does not take for a brain MRI, with its score as a member.
        """
        reading = self._network.run(seen.pixels)
        self._check_brain(reading.brain)
        probability = self._probability(reading.logit)
        class_ = int(probability >= self._about.threshold)
        answer: Answer = {
            "label": self._about.labels[class_],
            "class": class_,
            "probability": probability,
            "threshold": self._about.threshold,
            "model": self.identity,
        }
        if heatmap:
            answer["heatmap"] = self._heatmap(reading.evidence, seen.grey)
        return answer

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the network's logits, shape (n,), for preprocessed images, shape (n, size, size, 1)."""
        return self.readings(batch).logits

    def readings(self, batch: NDArray[np.float32]) -> Readings:
        """Return all that the network says of preprocessed images, shape (n, size, size, 1)."""
        read = [self._network.run(image) for image in batch]
        brains = [reading.brain for reading in read if reading.brain is not None]
        maps = [reading.evidence for reading in read if reading.evidence is not None]
        return Readings(
            logits=np.array([reading.logit for reading in read]),
            brain_logits=np.array(brains) if self._network.has_brain else None,
            evidence=np.array(maps) if self._network.has_evidence else None,
        )

    def _probability(self, logit: float) -> float:
        return _sigmoid(self._about.slope * logit + self._about.intercept)

    def _check_brain(self, logit: float | None) -> None:
        """Refuse what the network does not take for a brain MRI, where metadata.json says from when on."""
        threshold = self._about.refusal_threshold
        if logit is None or threshold is None:
            return
        score = _sigmoid(logit)
        if math.isnan(score):  # neither a brain nor none: the network has failed
            raise ArithmeticError("the network's brain logit is not a number")
        if score < threshold:
            raise unlike_a_brain(score=score, threshold=threshold)

    def _heatmap(self, evidence: NDArray[np.float32] | None, grey: Image.Image) -> Heatmap | None:
        if evidence is None or self._about.heatmap is None:
            return None
        width, height = self._about.heatmap
        rows, columns = evidence.shape
        left, top, right, bottom = imaging.content_box(grey)
        # From a cell of the grid, which covers the whole image, to a place on the evidence, which covers what
        # the image shows.
        across, down = columns / (right - left), rows / (bottom - top)
        stretch_x, stretch_y = grey.width / width * across, grey.height / height * down
        grid = Image.fromarray(evidence).transform(
            (width, height),
            Image.Transform.AFFINE,
            (stretch_x, 0, -left * across, 0, stretch_y, -top * down),
            Image.Resampling.BILINEAR,
            fillcolor=math.nan,  # outside the content nothing was seen
        )
        cells = np.nan_to_num(np.asarray(grid), nan=-math.inf)
        values = [[round(self._probability(float(cell)), 4) for cell in row] for row in cells]
        return {"width": width, "height": height, "values": values}


def _sigmoid(logit: float) -> float:
    # By the hyperbolic tangent: exp would overflow for a network that is very sure.
    return 0.5 * (1 + math.tanh(0.5 * logit))
