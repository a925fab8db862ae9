"""Problem documents (RFC 9457), with which the container refuses requests, and the limits on images."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from .settings import ASYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"
# Every hop accepts 4 MiB, serverless inference included; what is queued comes from S3.
MAX_IMAGE_BYTES = (100 if ASYNCHRONOUS else 4) * 1024 * 1024
MAX_IMAGE_PIXELS = 25_000_000
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110's, as Python's since 3.13


class Problem(Exception):  # noqa: N818 - RFC 9457's own name for it
    """A request that is answered with an error.

    `detail` is for people: what is wrong and what to send instead; `headers` are those that the status
    requires, such as ``Allow``; `extensions` are further members (RFC 9457, 3.2) for programs.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        extensions: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.extensions = extensions or {}

    def body(self) -> bytes:
        """Return the problem as JSON, to be sent as `MEDIA_TYPE`."""
        fields = {
            "type": "about:blank",
            "title": _TITLES.get(self.status, self.status.phrase),  # RFC 9457: for type about:blank
            "status": self.status.value,
            "detail": self.detail,
            **self.extensions,
        }
        return json.dumps(fields, ensure_ascii=False).encode()


def no_bytes() -> Problem:
    """Return the refusal of an empty file."""
    return Problem(HTTPStatus.BAD_REQUEST, "The body is empty: send the bytes of a JPEG, PNG or DICOM image.")


def too_many_bytes() -> Problem:
    """Return the refusal of a file beyond `MAX_IMAGE_BYTES`."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The image has more than {MAX_IMAGE_BYTES // 1024**2} MiB: send it smaller or more compressed.",
    )


def too_many_pixels(size: str) -> Problem:
    """Return the refusal of an image of this size beyond `MAX_IMAGE_PIXELS`."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The image has {size} pixels, more than {MAX_IMAGE_PIXELS // 10**6} megapixels: send it smaller.",
    )


def check_frame(frame: int | None, frames: int) -> None:
    """Raise `Problem` with 422 for a frame that is not there, or is not named among several."""
    if (frame is None and frames == 1) or (frame is not None and 1 <= frame <= frames):
        return
    raise Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"The file has {frames} frame{'s' * (frames > 1)}: choose one with ?frame=N, from 1 to {frames}.",
    )


def failure() -> Problem:
    """Return the answer to a request that failed; the reason is only logged."""
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log says why.")
