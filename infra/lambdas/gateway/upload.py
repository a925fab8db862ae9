"""Extracts the image from a request, by the contract's rules on media types and sizes.

The container, which decodes the image, decides by its bytes what it is: a second check here would have to be
kept equal and would only spare the rare invalid request.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from . import form
from .problems import Problem

if TYPE_CHECKING:
    from .proxy import Request

# Every hop accepts this size: serverless inference takes 4 MB, Lambda's 6,291,456 bytes hold about 4.4 MiB in
# base64.
MAX_IMAGE_BYTES = 4 * 1024 * 1024
IMAGE_TYPES = ("image/jpeg", "image/png", "application/dicom", "application/octet-stream")
# What browsers call JPEG and PNG files too.
OTHER_NAMES = ("image/jpg", "image/pjpeg", "image/x-png")
FORM_TYPE = "multipart/form-data"
FORM_FIELD = "image"


def image_of(request: Request) -> bytes:
    """Return the image in the request's body: 1 to `MAX_IMAGE_BYTES` bytes.

    Raises
    ------
    Problem
        400 without an image, 413 if it is too large, 415 for another media type.
    """
    if not request.body:
        raise Problem(400, "The request has no body: send an image as the body, or a form.")
    if request.media_type not in (*IMAGE_TYPES, *OTHER_NAMES, FORM_TYPE):
        given = f"{request.media_type[:100]} is not supported" if request.media_type else "is missing"
        wanted = f"send {', '.join(IMAGE_TYPES)}, or {FORM_TYPE} with a part named {FORM_FIELD}."
        raise Problem(415, f"The Content-Type {given}: {wanted}")
    if not request.body_is_base64:
        # API Gateway has already decoded such a body as text: the image's bytes are lost.
        raise Problem(415, "The body did not arrive as bytes: send its Content-Type in lower case, unquoted.")
    try:
        image = binascii.a2b_base64(request.body, strict_mode=True)  # base64.b64decode would copy the text
    except ValueError:
        raise Problem(400, "The body is not valid base64.") from None
    if request.media_type == FORM_TYPE:
        image = form.part(image, content_type=request.headers["content-type"], name=FORM_FIELD)
    if not image:
        raise Problem(400, "The image is empty (0 bytes).")
    if len(image) > MAX_IMAGE_BYTES:
        raise Problem(413, f"The image has {len(image):,} bytes; the limit is {MAX_IMAGE_BYTES:,} (4 MiB).")
    return image
