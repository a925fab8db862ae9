"""Translates SageMaker's errors into the contract's problems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from .prediction import is_probability
from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

# What passes: by status, what is wrong and in how many seconds to try again.
TRANSIENT = {
    429: ("The endpoint is busy; try again.", "1"),
    503: ("The model is not ready; try again.", "5"),
    504: ("The model took too long to answer; try again.", None),
}
# Every request has the same form, so a validation error means that the endpoint is absent or not ready.
STATUSES = {
    **dict.fromkeys(("ThrottlingException", "Throttling", "TooManyRequestsException"), 429),
    **dict.fromkeys(("ValidationError", "ValidationException", "ModelNotReadyException"), 503),
    "ServiceUnavailable": 503,
}
# The container's statuses about an image; any other error status means that the container failed.
ABOUT_THE_IMAGE = frozenset({400, 413, 415, 422})
REFUSED = 422
# The members of a refusal that are passed on, each from 0 to 1.
SCORES = ("score", "score_threshold")


def problem(error: BotoCoreError | ClientError) -> Problem:
    """Return the problem for a failed call to SageMaker."""
    cause = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, ReadTimeoutError | ConnectTimeoutError):
        return transient(504, cause)
    if not isinstance(error, ClientError):
        return Problem(502, "The endpoint could not be reached.", cause=cause)
    code = error.response["Error"]["Code"]
    if code == "ModelError":
        return _container_problem(error.response, cause)
    if code in STATUSES:
        return transient(STATUSES[code], cause)
    return Problem(502, "The endpoint failed.", cause=cause)


def transient(status: int, cause: str) -> Problem:
    """Return the problem of an endpoint that is busy (429), not in service (503) or too slow (504)."""
    detail, retry_after = TRANSIENT[status]
    headers = {"Retry-After": retry_after} if retry_after else None
    return Problem(status, detail, headers=headers, cause=cause)


def _container_problem(response: Mapping[str, object], cause: str) -> Problem:
    """Return the problem for a container's error, which SageMaker wraps in a ModelError.

    The status is 0 where the container gave none: it "timed out" (60 s) or its process ended.
    """
    message = str(response.get("OriginalMessage", ""))
    match response.get("OriginalStatusCode"):
        case int(status) if status in ABOUT_THE_IMAGE:
            return image_problem(status, message)
        case int(status) if status in TRANSIENT:
            return transient(status, cause)
        case 0 if "timed out" in message:
            return transient(504, cause)
        case _:
            return Problem(502, "The model failed.", cause=cause)


def image_problem(status: int, message: str) -> Problem:
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
