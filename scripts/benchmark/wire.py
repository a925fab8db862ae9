"""How an image travels to each kind of server, and where the probability stands in its answer."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from container import imaging, metadata
from scripts.benchmark import network
from scripts.benchmark.peers.judge import probability

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.images import Image

Wire = Literal["raw", "json", "mlflow", "tensor", "v2"]
"""The image's own bytes; base64 in a JSON object; base64 in MLflow's JSON; a preprocessed tensor in MLflow's
JSON; base64 in the open inference protocol's JSON."""


@dataclass(frozen=True)
class Message:
    """The body of one request."""

    body: bytes
    media_type: str


def message(wire: Wire, image: Image) -> Message:
    """Pack an image as a server wants it."""
    if wire == "raw":
        return Message(image.data, image.media_type)
    return Message(json.dumps(_PACKERS[wire](image)).encode(), "application/json")


def answer(wire: Wire, body: bytes) -> float:
    """Read the probability of class 1 from an answer.

    Raises
    ------
    ValueError, LookupError, TypeError
        If it is not what such a server answers.
    """
    document = json.loads(body)
    if wire in ("raw", "json"):
        return float(document["probability"])
    if wire == "mlflow":
        return float(document["predictions"][0])
    if wire == "v2":
        return float(document["outputs"][0]["data"][0])
    about = metadata.load(network.SERVING / "metadata.json")
    [logit] = [row[0] for row in _judgements(document["predictions"])]
    return probability(float(logit), slope=about.slope, intercept=about.intercept)


def _judgements(predictions: object) -> list[list[float]]:
    """Find the output of shape (1, 2) among a Keras model's, named or not: the other one is a map."""
    outputs = list(predictions.values()) if isinstance(predictions, dict) else predictions
    if not isinstance(outputs, list):
        raise TypeError("the predictions are no list of outputs")
    return next(each for each in outputs if isinstance(each[0][0], int | float))


def _json(image: Image) -> object:
    return {"image": _text(image)}


def _mlflow(image: Image) -> object:
    return {"dataframe_split": {"columns": ["image"], "data": [[_text(image)]]}}


def _tensor(image: Image) -> object:
    size = metadata.load(network.SERVING / "metadata.json").size
    return {"inputs": imaging.preprocess(imaging.decode(image.data), size=size)[None].tolist()}


def _v2(image: Image) -> object:
    return {
        "inputs": [
            {
                "name": "image",
                "shape": [1],
                "datatype": "BYTES",
                "parameters": {"content_type": "base64"},
                "data": [_text(image)],
            }
        ]
    }


def _text(image: Image) -> str:
    return base64.b64encode(image.data).decode()


_PACKERS: dict[Wire, Callable[[Image], object]] = {
    "json": _json,
    "mlflow": _mlflow,
    "tensor": _tensor,
    "v2": _v2,
}
