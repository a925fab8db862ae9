"""Golden answers: predictions for a few phantoms, which check a deployment without shipping images."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from container.problem import Problem
from model.data import phantom

if TYPE_CHECKING:
    from container.predictor import Predictor

PHANTOMS = ((101, True), (102, False), (103, True), (104, False))


class Golden(TypedDict):
    """The response to one phantom: a probability, or a refusal."""

    seed: int
    lesion: bool
    probability: NotRequired[float]
    refused: NotRequired[Literal[True]]


def golden_answers(predictor: Predictor) -> list[Golden]:
    """Predict each of `PHANTOMS`."""
    answers: list[Golden] = []
    for seed, lesion in PHANTOMS:
        try:
            answer = predictor.predict(phantom.png(seed=seed, lesion=lesion))
            answers.append({"seed": seed, "lesion": lesion, "probability": answer["probability"]})
        except Problem as problem:
            if problem.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            answers.append({"seed": seed, "lesion": lesion, "refused": True})
    return answers
