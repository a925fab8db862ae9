"""How much an image may weigh: known to the front, which never decodes one, and to the workers."""

from __future__ import annotations

from http import HTTPStatus

from .problem import Problem

MAX_IMAGE_BYTES = 4 * 1024 * 1024  # below it every hop and SageMaker's serverless variant work
MAX_IMAGE_PIXELS = 25_000_000


def too_many_bytes() -> Problem:
    """Return the refusal of a file beyond `MAX_IMAGE_BYTES`."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The image has more than {MAX_IMAGE_BYTES // 1024**2} MiB: send it smaller or more compressed.",
    )
