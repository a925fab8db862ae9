"""The part of a model's `metadata.json` that the server needs, checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_SCHEMA, SCHEMA = 2, 3


class ModelError(Exception):
    """A model directory that cannot be served."""


class HeatmapScale(NamedTuple):
    """The grid of an answer's heatmap, and the evidence that it shows as 0 and as 1."""

    width: int
    height: int
    low: float
    high: float


@dataclass(frozen=True)
class Metadata:
    """How to feed the network and how to interpret its outputs."""

    name: str
    labels: tuple[str, str]  # of class 0 and class 1
    size: int  # of the network's square input, pixels
    slope: float  # probability of class 1 = sigmoid(slope * logit + intercept)
    intercept: float
    threshold: float  # class 1 from this probability on
    refusal_threshold: float  # accepted from this brain score on
    heatmap: HeatmapScale | None  # None before schema 3
    reliability_threshold: float | None  # reliable from this familiarity on; None before schema 3
    known_logit: float  # for the known input, see `network.known_input`


def load(path: Path) -> Metadata:
    """Read and check `metadata.json`; raises `ModelError` naming every key that is wrong."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error
    keys = _Keys(document)
    schema = keys.whole("schema", OLDEST_SCHEMA, SCHEMA)
    heatmap = reliability_threshold = None
    if schema != OLDEST_SCHEMA:  # which gave its evidence no scale, and knew no familiarity
        width, height = (keys.whole(f"heatmap.{side}", 1, 256) for side in ("width", "height"))
        heatmap = HeatmapScale(width, height, keys.number("heatmap.low"), keys.number("heatmap.high"))
        keys.check("heatmap.high", "above heatmap.low", valid=heatmap.high > heatmap.low)
        reliability_threshold = keys.number("reliability.threshold")
    metadata = Metadata(
        name=keys.text("name"),
        labels=(keys.text("labels.0"), keys.text("labels.1")),
        size=keys.whole("input.size", 8, 1024),
        slope=keys.number("calibration.slope"),
        intercept=keys.number("calibration.intercept"),
        threshold=keys.number("threshold", 0, 1),
        refusal_threshold=keys.number("refusal.threshold", 0, 1),
        heatmap=heatmap,
        reliability_threshold=reliability_threshold,
        known_logit=keys.number("known_answer.logit"),
    )
    keys.check("known_answer.input", '"ramp"', valid=keys.find("known_answer.input") == "ramp")
    if keys.errors:
        raise ModelError(f"{path}: " + "; ".join(keys.errors))
    return metadata


class _Keys:
    """Reads dotted keys of a JSON document and collects what is wrong with them."""

    def __init__(self, document: object) -> None:
        self._document = document
        self.errors: list[str] = []

    def find(self, key: str) -> Any:
        """Return the value of a key, None if there is no such key."""
        value: Any = self._document
        for part in key.split("."):
            try:
                value = value[int(part) if isinstance(value, list) else part]
            except (LookupError, TypeError, ValueError):
                return None
        return value

    def text(self, key: str) -> str:
        value = self.find(key)
        self.check(key, "a text", valid=isinstance(value, str) and value != "")
        return str(value)

    def number(self, key: str, low: float = -1e6, high: float = 1e6) -> float:
        return self._number(key, low, high, "number", int | float)

    def whole(self, key: str, low: int, high: int) -> int:
        return int(self._number(key, low, high, "whole number", int))

    def check(self, key: str, expected: str, *, valid: bool) -> None:
        if not valid:
            self.errors.append(f"{key} must be {expected}, not {json.dumps(self.find(key))}")

    def _number(self, key: str, low: float, high: float, kind: str, types: Any) -> float:
        value = self.find(key)
        valid = isinstance(value, types) and not isinstance(value, bool) and low <= value <= high
        self.check(key, f"a {kind} from {low:g} to {high:g}", valid=valid)
        return float(value) if valid else 0.0
