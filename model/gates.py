"""Quality gates: what a network must reach, out of fold, before it may serve anywhere but on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from .registry import Champion

CHANCE = 0.5
MIN_SENSITIVITY = 0.80
MIN_SPECIFICITY = 0.60
"""A missed tumour costs more than a second look, so sensitivity is asked for more."""


class Outcome(TypedDict):
    """One gate's verdict, as the release record keeps it."""

    name: str
    passed: bool
    detail: str


def evaluate(champion: Champion) -> list[Outcome]:
    """Judge a champion by the figures of its training; every gate is judged, whatever the others say."""
    metrics = champion.metrics
    return [
        _above(
            "beats_majority",
            metrics["balanced_accuracy_low"],
            CHANCE,
            "lower bound of balanced accuracy",
        ),
        _above("sensitivity", metrics["sensitivity"], MIN_SENSITIVITY, "sensitivity"),
        _above("specificity", metrics["specificity"], MIN_SPECIFICITY, "specificity"),
    ]


def _above(name: str, value: float, least: float, what: str) -> Outcome:
    passed = value > least
    return {
        "name": name,
        "passed": passed,
        "detail": f"{what} {value:.3f} {'>' if passed else 'is not above'} {least}",
    }
