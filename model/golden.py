"""What a model says to a few phantoms: how a deployment is proved without shipping an image."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from container.problem import Problem

from . import phantom

if TYPE_CHECKING:
    from container.predictor import Predictor

PHANTOMS = ((101, True), (102, False), (103, True), (104, False))


class Golden(TypedDict):
    """The answer to one phantom: a probability, or a refusal."""

    seed: int
    lesion: bool
    probability: NotRequired[float]
    refused: NotRequired[Literal[True]]


def golden_answers(predictor: Predictor) -> list[Golden]:
    """Ask a loaded model about each of `PHANTOMS`."""
    return [_ask(predictor, seed=seed, lesion=lesion) for seed, lesion in PHANTOMS]


def _ask(predictor: Predictor, *, seed: int, lesion: bool) -> Golden:
    try:
        answer = predictor.predict(phantom.png(seed=seed, lesion=lesion))
    except Problem as problem:
        if problem.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        return {"seed": seed, "lesion": lesion, "refused": True}
    return {"seed": seed, "lesion": lesion, "probability": answer["probability"]}
