"""The model's `metadata.json`: what the server needs of it, checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 2

_T = TypeVar("_T")


class ModelError(Exception):
    """A model directory that cannot be served."""


@dataclass(frozen=True)
class Metadata:
    """How to feed the network and how to read what it says."""

    name: str
    labels: tuple[str, str]  # of class 0 and class 1
    size: int  # of the network's square input, pixels
    slope: float  # probability of class 1 = sigmoid(slope * logit + intercept)
    intercept: float
    threshold: float  # class 1 from this probability on
    heatmap: tuple[int, int] | None  # the answer's grid: width, height; None where there is no evidence map
    refusal_threshold: float | None  # judged from this brain score on; None where the network gives none
    known_logit: float  # for the known input, see `Predictor`


def load(path: Path) -> Metadata:
    """Read and check `metadata.json`.

    Raises
    ------
    ModelError
        It is missing or no JSON object, or with every key that is wrong and what it should be.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error
    keys = _Keys(document)
    metadata = Metadata(
        name=keys.text("name"),
        labels=(keys.text("labels.0"), keys.text("labels.1")),
        size=keys.whole("input.size", 8, 1024),
        slope=keys.number("calibration.slope"),
        intercept=keys.number("calibration.intercept"),
        threshold=keys.number("threshold", 0.0, 1.0),
        heatmap=(
            (keys.whole("heatmap.width", 1, 256), keys.whole("heatmap.height", 1, 256))
            if keys.find("heatmap") is not None
            else None
        ),
        refusal_threshold=(
            keys.number("refusal.threshold", 0.0, 1.0) if keys.find("refusal") is not None else None
        ),
        known_logit=keys.number("known_answer.logit"),
    )
    keys.require("schema", SCHEMA)
    keys.require("known_answer.input", "ramp")
    if keys.errors:
        raise ModelError(f"{path}: " + "; ".join(keys.errors))
    return metadata


class _Keys:
    """Reads dotted keys of a JSON document and collects what is wrong with them."""

    def __init__(self, document: object) -> None:
        self._document = document
        self.errors: list[str] = []

    def find(self, key: str) -> object:
        """Return what a key holds, None if there is no such key."""
        value = self._document
        for part in key.split("."):
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value

    def text(self, key: str) -> str:
        value = self.find(key)
        return value if isinstance(value, str) and value else self._wrong(key, "a text", "")

    def number(self, key: str, low: float = -1e6, high: float = 1e6) -> float:
        value = self.find(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        return self._wrong(key, f"a number from {low:g} to {high:g}", math.nan)

    def whole(self, key: str, low: int, high: int) -> int:
        value = self.find(key)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        return self._wrong(key, f"a whole number from {low} to {high}", 0)

    def require(self, key: str, wanted: object) -> None:
        if self.find(key) != wanted:
            self._wrong(key, json.dumps(wanted), None)

    def _wrong(self, key: str, wanted: str, instead: _T) -> _T:
        self.errors.append(f"{key} must be {wanted}, not {json.dumps(self.find(key))}")
        return instead
