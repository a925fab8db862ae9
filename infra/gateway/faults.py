"""What SageMaker's errors mean to the person who asked: one botocore error in, one problem out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from prediction import is_probability
from problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})
# Every request has the same form, so what SageMaker calls invalid is the endpoint: absent, or not yet there.
NOT_READY = frozenset(
    {"ValidationError", "ValidationException", "ModelNotReadyException", "ServiceUnavailable"}
)
# What the container may say of an image; any other status of its own is its failure.
OF_THE_IMAGE = frozenset({400, 413, 415, 422})
REFUSED = 422
# What the container tells programs with a refusal, each from 0 to 1; no other member of its own is sent on.
SCORES = ("score", "score_threshold")

RETRY_THROTTLED = {"Retry-After": "1"}  # seconds
RETRY_NOT_READY = {"Retry-After": "5"}


def problem(error: BotoCoreError | ClientError) -> Problem:
    """Return the problem that a failed call to SageMaker amounts to."""
    cause = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, ReadTimeoutError | ConnectTimeoutError):
        return too_slow(cause)
    if not isinstance(error, ClientError):
        return Problem(502, "The endpoint could not be reached.", cause=cause)
    code = error.response["Error"]["Code"]
    if code == "ModelError":
        return _of_the_container(error.response, cause)
    if code in THROTTLED:
        return throttled(cause)
    if code in NOT_READY:
        return not_ready(cause)
    return Problem(502, "The endpoint failed.", cause=cause)


def throttled(cause: str) -> Problem:
    """Return the problem of an endpoint with more requests than it takes."""
    return Problem(429, "The endpoint is busy; try again.", headers=RETRY_THROTTLED, cause=cause)


def not_ready(cause: str) -> Problem:
    """Return the problem of an endpoint that does not serve (yet)."""
    return Problem(503, "The model is not ready; try again.", headers=RETRY_NOT_READY, cause=cause)


def too_slow(cause: str) -> Problem:
    """Return the problem of an endpoint that did not answer in time."""
    return Problem(504, "The model took too long to answer; try again.", cause=cause)


def _of_the_container(response: Mapping[str, object], cause: str) -> Problem:
    """Return what the container's own error means, which SageMaker hands on as a ModelError.

    The status is 0 where the container gave none: it "timed out" (60 s) or its process went away.
    """
    message = str(response.get("OriginalMessage", ""))
    match response.get("OriginalStatusCode"):
        case int(status) if status in OF_THE_IMAGE:
            return _of_the_image(status, message)
        case 429:
            return throttled(cause)
        case 503:
            return not_ready(cause)
        case 504:
            return too_slow(cause)
        case 0 if "timed out" in message:
            return too_slow(cause)
        case _:
            return Problem(502, "The model failed.", cause=cause)


def _of_the_image(status: int, message: str) -> Problem:
    """Return the container's own problem, or at least its status where SageMaker cut the message short.

    Its words are for the sender alone: they may quote the image, which no log must hold.
    """
    cause = f"the container answered {status}"
    try:
        told = json.loads(message)
        detail = str(told["detail"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return Problem(status, "The image was not accepted.", cause=cause)
    return Problem(status, detail, cause=cause, extensions=_scores(told) if status == REFUSED else None)


def _scores(told: Mapping[str, object]) -> dict[str, float]:
    """Return the scores of a refusal: all of them, or none where one is missing or no score."""
    scores = {name: value for name in SCORES if is_probability(value := told.get(name))}
    return scores if len(scores) == len(SCORES) else {}
