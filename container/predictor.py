"""From the bytes of an image to the prediction that the HTTP contract describes."""

from __future__ import annotations

import math
from base64 import b64encode
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Literal, NamedTuple, NotRequired, TypedDict

import numpy as np
from PIL import Image

from . import imaging, metadata
from .metadata import Metadata, ModelError
from .network import Network, known_input
from .problem import Problem
from .rules import out_of_distribution, reason_to_refuse
from .statistics import Statistics, measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

KNOWN_ANSWER_TOLERANCE = 1e-3  # of a logit; machines differ by about 1e-6, a wrong file by far more
UNFAMILIAR = "The image's plane, contrast or scanner is unlike the images that the model learnt from."


class Identity(TypedDict):
    """The model that answers; null for what the environment does not name."""

    name: str
    version: str | None
    sha256: str | None


class Watched(Statistics):
    """What is watched of an image besides its probability."""

    format: imaging.Format
    score: float  # the brain score, from 0 to 1, below which images are refused


class Preview(TypedDict):
    """What the network saw."""

    png: str  # base64 of a square grey PNG
    box: imaging.Box  # of it in the image


class Heatmap(TypedDict):
    """A grid over the whole image of the evidence for class 1, from 0 (none) to 1 (strong)."""

    width: int
    height: int
    values: list[list[float]]  # rows from top to bottom


Answer = TypedDict(
    "Answer",
    {
        "label": str,
        "class": int,
        "probability": float,
        "threshold": float,
        "reliability": NotRequired[Literal["low"]],
        "reasons": NotRequired[list[str]],  # for the low reliability
        "model": Identity,
        "heatmap": NotRequired[Heatmap | None],
        "preview": NotRequired[Preview],
        "statistics": NotRequired[Watched],
    },
)


class Preprocessed(NamedTuple):
    """An image that passed the rules, ready for the network."""

    grey: Image.Image  # upright, mode L
    pixels: NDArray[np.float32]  # shape (size, size, 1)
    box: imaging.Box  # the content, which the pixels show
    format: imaging.Format


class NetworkOutputs(NamedTuple):
    """The network's outputs for n images, before calibration."""

    logits: NDArray[np.float64]  # shape (n,)
    brain_logits: NDArray[np.float64]  # shape (n,)
    familiarity: NDArray[np.float64] | None  # shape (n,); None before schema 3
    evidence: NDArray[np.float32]  # shape (n, rows, columns)


class Predictor:
    """A loaded network and its metadata. Not thread-safe: one call at a time."""

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
    ) -> Predictor:
        """Load `model.tflite` and `metadata.json` from a directory and check the known answer.

        `name` (default: that of the metadata), `version` and `sha256` are the release's names for the model.
        Raises `ModelError` if a file is missing or broken, or is not what `metadata.json` describes.
        """
        about = metadata.load(model_dir / "metadata.json")
        network = Network(model_dir / "model.tflite", size=about.size)
        if about.reliability_threshold is not None and not network.has_familiarity:
            raise ModelError(f"{network.path}: has no familiarity logit, but metadata.json a reliability")
        predictor = cls(network, about, {"name": name or about.name, "version": version, "sha256": sha256})
        predictor.check()
        return predictor

    def check(self) -> None:
        """Run the network on the known input; raises ModelError for any logit but the known one."""
        logit, known = self._network.run(known_input(self._about.size)).logit, self._about.known_logit
        if not abs(logit - known) <= KNOWN_ANSWER_TOLERANCE:
            raise ModelError(
                f"{self._network.path}: returns {logit:.6f} for the known input, not {known:.6f} as in "
                "metadata.json: not the network that was exported"
            )

    def predict(self, data: bytes, *, heatmap: bool = False) -> Answer:
        """Classify one image file; parameters and errors as for `preprocess` and `classify`."""
        return self.classify(self.preprocess(data), heatmap=heatmap)

    def preprocess(
        self, data: bytes, *, frame: int | None = None, read: Callable[..., Image.Image] = imaging.read
    ) -> Preprocessed:
        """Decode one image file, or a frame of it, by `read`, and prepare it for the network.

        Raises `Problem`: as `imaging.decode`, or with 422 and the reason for what cannot be a brain MRI.
        """
        image = read(data, frame=frame)
        grey = imaging.grey(image)
        if reason := reason_to_refuse(image, grey):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
        box = imaging.content_box(grey)
        pixels = imaging.preprocess(grey, size=self._about.size, box=box)
        return Preprocessed(grey, pixels, box, imaging.format_of(data))

    def classify(
        self, image: Preprocessed, *, heatmap: bool = False, preview: bool = False, statistics: bool = False
    ) -> Answer:
        """Classify one preprocessed image; `heatmap` adds the heatmap, null before schema 3.

        `preview` adds what the network saw, `statistics` what is watched of the image.

        An image unlike those that the model learnt from gets an answer of low reliability, with the reason.
        Raises `Problem` with 422 if the network's brain score is below the threshold, with both as members.
        """
        output = self._network.run(image.pixels)
        score = self._brain_score(output.brain_logit)
        probability = _sigmoid(self._about.slope * output.logit + self._about.intercept)
        class_ = int(probability >= self._about.threshold)
        answer: Answer = {
            "label": self._about.labels[class_],
            "class": class_,
            "probability": probability,
            "threshold": self._about.threshold,
            "model": self.identity,
        }
        if self._is_unfamiliar(output.familiarity):
            answer |= {"reliability": "low", "reasons": [UNFAMILIAR]}
        if heatmap:
            answer["heatmap"] = self._heatmap(output.evidence, image)
        if preview:
            answer["preview"] = _preview(image)
        if statistics:
            measured = measure(image.grey, image.pixels, image.box)
            answer["statistics"] = {**measured, "format": image.format, "score": round(score, 4)}
        return answer

    def outputs(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run the network on preprocessed images, shape (n, size, size, 1)."""
        outputs = [self._network.run(image) for image in batch]
        logits, brain_logits, familiarity, evidence = map(np.array, zip(*outputs, strict=True))
        known = familiarity if self._network.has_familiarity else None
        return NetworkOutputs(logits, brain_logits, known, evidence)

    def _brain_score(self, logit: float) -> float:
        threshold, score = self._about.refusal_threshold, _sigmoid(logit)
        if math.isnan(score):
            raise ArithmeticError("the network's brain logit is not a number")
        if score < threshold:
            raise out_of_distribution(score=score, threshold=threshold)
        return score

    def _is_unfamiliar(self, familiarity: float | None) -> bool:
        threshold = self._about.reliability_threshold
        if familiarity is None or threshold is None:
            return False
        if math.isnan(familiarity):
            raise ArithmeticError("the network's familiarity logit is not a number")
        return familiarity < threshold

    def _heatmap(self, evidence: NDArray[np.float32], image: Preprocessed) -> Heatmap | None:
        if self._about.heatmap is None:
            return None
        width, height, low, high = self._about.heatmap
        rows, columns = evidence.shape
        left, top, right, bottom = image.box
        # Maps a cell of the grid, which covers the image, to the evidence, which covers the content box.
        across, down = columns / (right - left), rows / (bottom - top)
        stretch_x, stretch_y = image.grey.width / width * across, image.grey.height / height * down
        grid = Image.fromarray(evidence).transform(
            (width, height),
            Image.Transform.AFFINE,
            (stretch_x, 0, -left * across, 0, stretch_y, -top * down),
            Image.Resampling.BILINEAR,
            fillcolor=math.nan,  # no evidence outside the content box
        )
        shares = np.clip((np.asarray(grid, dtype=np.float64) - low) / (high - low), 0, 1)
        return {"width": width, "height": height, "values": np.nan_to_num(shares).round(4).tolist()}


def _preview(image: Preprocessed) -> Preview:
    png = BytesIO()
    Image.fromarray(np.rint(255 * image.pixels[..., 0]).astype(np.uint8)).save(png, format="PNG")
    return {"png": b64encode(png.getvalue()).decode(), "box": image.box}


def _sigmoid(logit: float) -> float:
    # tanh, because exp overflows for large logits.
    return 0.5 * (1 + math.tanh(0.5 * logit))
