"""What the endpoint answers, taken for a prediction only where it is one in every member."""

from __future__ import annotations

import json
from typing import NoReturn, TypeGuard

from problems import Problem

Members = dict[str, object]


def read(answer: bytes) -> Members:
    """Return the members of a prediction.

    Raises
    ------
    Problem
        502 for anything else: what is passed on as a prediction must be one.
    """
    try:
        told = json.loads(answer, parse_constant=_refuse)
    except (ValueError, RecursionError):  # the latter for lists in lists in lists
        told = None
    if not _is_prediction(told):
        raise Problem(502, "The endpoint's answer is not a prediction.", cause="malformed answer")
    return told


def is_probability(value: object) -> TypeGuard[float]:
    """Whether a member is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_prediction(told: object) -> TypeGuard[Members]:
    match told:
        case {
            "label": "NO" | "YES",
            "class": int(class_),
            "probability": probability,
            "threshold": threshold,
            "model": {"name": str(), "version": str(), "sha256": str()},
            **others,
        }:
            numbers = class_ in (0, 1) and is_probability(probability) and is_probability(threshold)
            return numbers and _is_heatmap(others.get("heatmap"))
        case _:
            return False


def _is_heatmap(told: object) -> bool:
    match told:
        case None | {"width": int(), "height": int(), "values": [*_]}:
            return True
        case _:
            return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
