"""Validates the endpoint's answer: it is passed on only if every member is that of a prediction."""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn, TypeGuard, cast

from .problems import Problem

Members = dict[str, object]

# Lambda returns at most 6 MB, and an answer may grow fivefold when it is written as JSON within JSON.
MAX_BYTES = 1024**2
PNG = re.compile("iVBORw0KGgo[A-Za-z0-9+/]+={0,2}")  # in base64, the first bytes included


def parse(answer: bytes) -> tuple[Members, Members | None]:
    """Return the members of a prediction, and what is watched of it, if the container measures that.

    Raises
    ------
    Problem
        502 for anything else.
    """
    if len(answer) > MAX_BYTES:
        raise Problem(502, "The endpoint's answer is too large.", cause=f"answer of {len(answer)} bytes")
    try:
        members = json.loads(answer, parse_constant=_reject_constant)
    except (ValueError, RecursionError):  # the latter for deeply nested lists
        members = None
    if not _is_prediction(members):
        raise Problem(502, "The endpoint's answer is not a prediction.", cause="malformed answer")
    statistics = members.pop("statistics", None)
    if not isinstance(statistics, dict):
        return members, None
    sha256 = cast("Members", members["model"])["sha256"]
    return members, {"probability": members["probability"], "model_sha256": sha256, **statistics}


def is_probability(value: object) -> TypeGuard[float]:
    """Whether a value is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_prediction(members: object) -> TypeGuard[Members]:
    match members:
        case {
            "label": "NO" | "YES",
            "class": int(class_),
            "probability": probability,
            "threshold": threshold,
            "model": {"name": str(), "version": str(), "sha256": str()},
            **others,
        }:
            numbers = class_ in (0, 1) and is_probability(probability) and is_probability(threshold)
        case _:
            return False
    match others.get("heatmap"):
        case None | {"width": int(), "height": int(), "values": [*_]}:
            additions = _has_preview(others) and _has_statistics(others)
            return numbers and _has_reasons(others) and additions
        case _:
            return False


def _has_reasons(others: dict[object, object]) -> bool:
    """Whether a low reliability has its reasons, or neither is there."""
    match others:
        case {"reliability": "low", "reasons": [_, *_] as reasons}:
            return all(isinstance(reason, str) for reason in reasons)
        case _:
            return others.keys().isdisjoint({"reliability", "reasons"})


def _has_preview(others: dict[object, object]) -> bool:
    """Whether a preview, if there is one, is a PNG and a box of four numbers in its order."""
    match others.get("preview", {}):
        case {"png": str(png), "box": [_, _, _, _] as box, **more}:
            if more or not PNG.fullmatch(png) or not all(type(side) in (int, float) for side in box):
                return False
            left, top, right, bottom = box
            return bool(0 <= left < right < math.inf and 0 <= top < bottom < math.inf)
        case _:
            return "preview" not in others


def _has_statistics(others: dict[object, object]) -> bool:
    """Whether statistics, if there are any, are numbers and the name of a format."""
    match others.get("statistics", {}):
        case {"format": "dicom" | "jpeg" | "png", **measured}:
            return all(type(value) in (int, float) for value in measured.values())
        case _:
            return "statistics" not in others


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
