"""The image that a request carries, by the contract's rules on media types and sizes.

Whether the bytes are a JPEG or a PNG is the container's to say, which decodes them: a second opinion here
would be a second rule to keep equal, and would spare only the rare request that is wrong.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

import form
from problems import Problem

if TYPE_CHECKING:
    from proxy import Request

# Below it every hop works: 4 MB is serverless inference's limit, and Lambda's 6,291,456 bytes hold about
# 4.4 MiB in base64.
MAX_IMAGE_BYTES = 4 * 1024 * 1024
IMAGE_TYPES = ("image/jpeg", "image/png", "application/octet-stream")
FORM_TYPE = "multipart/form-data"
FORM_FIELD = "image"


def image_of(request: Request) -> bytes:
    """Return the image in the request's body, of 1 to `MAX_IMAGE_BYTES` bytes.

    Raises
    ------
    Problem
        400 without an image, 413 for one that is too large, 415 for another media type.
    """
    if not request.body:
        raise Problem(400, "The request has no body: send a JPEG or PNG image as the body, or a form.")
    if request.media_type not in (*IMAGE_TYPES, FORM_TYPE):
        raise Problem(415, _unsupported(request.media_type))
    if not request.body_is_base64:
        # API Gateway has already decoded such a body as text: the image's bytes are lost.
        raise Problem(415, "The body did not arrive as bytes: send its Content-Type in lower case, unquoted.")
    image = _decoded(request.body)
    if request.media_type == FORM_TYPE:
        image = form.part(image, content_type=request.headers["content-type"], name=FORM_FIELD)
    if not image:
        raise Problem(400, "The image is empty (0 bytes).")
    if len(image) > MAX_IMAGE_BYTES:
        raise Problem(
            413, f"The image has {len(image):,} bytes; at most {MAX_IMAGE_BYTES:,} (4 MiB) are taken."
        )
    return image


def _decoded(body: str) -> bytes:
    try:
        return binascii.a2b_base64(body, strict_mode=True)  # base64.b64decode would copy the text first
    except ValueError:
        raise Problem(400, "The body is not valid base64, which it was announced to be.") from None


def _unsupported(media_type: str) -> str:
    given = (
        f"The Content-Type {media_type[:100]} is not taken" if media_type else "The Content-Type is missing"
    )
    return f"{given}: send {', '.join(IMAGE_TYPES)}, or {FORM_TYPE} with a part named {FORM_FIELD}."
