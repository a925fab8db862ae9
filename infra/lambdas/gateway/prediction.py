"""Validates the endpoint's answer: it is passed on only if every member is that of a prediction."""

from __future__ import annotations

import json
from typing import NoReturn, TypeGuard

from .problems import Problem

Members = dict[str, object]


def parse(answer: bytes) -> Members:
    """Return the members of a prediction.

    Raises
    ------
    Problem
        502 for anything else.
    """
    try:
        members = json.loads(answer, parse_constant=_reject_constant)
    except (ValueError, RecursionError):  # the latter for deeply nested lists
        members = None
    if not _is_prediction(members):
        raise Problem(502, "The endpoint's answer is not a prediction.", cause="malformed answer")
    return members


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
            return numbers and _has_reasons(others)
        case _:
            return False


def _has_reasons(others: dict[object, object]) -> bool:
    """Whether a low reliability has its reasons, or neither is there."""
    match others:
        case {"reliability": "low", "reasons": [_, *_] as reasons}:
            return all(isinstance(reason, str) for reason in reasons)
        case _:
            return others.keys().isdisjoint({"reliability", "reasons"})


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
