"""Translates SageMaker's errors into the contract's problems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from .prediction import is_probability
from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})
# Every request has the same form, so a validation error means that the endpoint is absent or not ready.
NOT_READY = frozenset(
    {"ValidationError", "ValidationException", "ModelNotReadyException", "ServiceUnavailable"}
)
# The container's statuses about an image; any other error status means that the container failed.
ABOUT_THE_IMAGE = frozenset({400, 413, 415, 422})
REFUSED = 422
# The members of a refusal that are passed on, each from 0 to 1.
SCORES = ("score", "score_threshold")


def problem(error: BotoCoreError | ClientError) -> Problem:
    """Return the problem for a failed call to SageMaker."""
    cause = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, ReadTimeoutError | ConnectTimeoutError):
        return too_slow(cause)
    if not isinstance(error, ClientError):
        return Problem(502, "The endpoint could not be reached.", cause=cause)
    code = error.response["Error"]["Code"]
    if code == "ModelError":
        return _container_problem(error.response, cause)
    if code in THROTTLED:
        return throttled(cause)
    if code in NOT_READY:
        return not_ready(cause)
    return Problem(502, "The endpoint failed.", cause=cause)


def throttled(cause: str) -> Problem:
    """Return the problem of an endpoint with too many requests."""
    return Problem(429, "The endpoint is busy; try again.", headers={"Retry-After": "1"}, cause=cause)


def not_ready(cause: str) -> Problem:
    """Return the problem of an endpoint that is not in service."""
    return Problem(503, "The model is not ready; try again.", headers={"Retry-After": "5"}, cause=cause)


def too_slow(cause: str) -> Problem:
    """Return the problem of an endpoint that did not answer in time."""
    return Problem(504, "The model took too long to answer; try again.", cause=cause)


def _container_problem(response: Mapping[str, object], cause: str) -> Problem:
    """Return the problem for a container's error, which SageMaker wraps in a ModelError.

    The status is 0 where the container gave none: it "timed out" (60 s) or its process ended.
    """
    message = str(response.get("OriginalMessage", ""))
    match response.get("OriginalStatusCode"):
        case int(status) if status in ABOUT_THE_IMAGE:
            return _image_problem(status, message)
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


def _image_problem(status: int, message: str) -> Problem:
    """Return the container's own problem, or at least its status where SageMaker truncated the message.

    Its detail goes to the sender only: it may quote the image, which no log may hold.
    """
    cause = f"the container answered {status}"
    try:
        document = json.loads(message)
        detail = str(document["detail"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return Problem(status, "The image was not accepted.", cause=cause)
    scores = {name: value for name in SCORES if is_probability(value := document.get(name))}
    complete = status == REFUSED and len(scores) == len(SCORES)
    return Problem(status, detail, cause=cause, extensions=scores if complete else None)
