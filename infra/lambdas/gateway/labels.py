"""Keeps what callers say that an image shows: one object for each label of a caller, without the image."""

from __future__ import annotations

import hashlib
import json
import time
from functools import cached_property
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .aws import client
from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from .proxy import Request
    from .request_ids import RequestIds

PREFIX = "labels"
MEDIA_TYPE = "application/json"
MAX_BODY_BYTES = 2048
MAX_NOTE_CHARS = 500
CHOICES = ("YES", "NO")
KEY_DIGITS = 16  # hexadecimal, of the hash of caller and label
RETRY_AFTER_S = "5"
CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})


class Labels:
    """The bucket of labels."""

    def __init__(self, bucket: str, *, ids: RequestIds, model_sha256: str) -> None:
        self._bucket = bucket
        self._ids = ids
        self._model_sha256 = model_sha256  # of the model that serves; it is kept with a label

    @cached_property
    def _s3(self) -> S3Client:
        return cast("S3Client", client("s3", CONFIG))  # on first use: predictions never need it

    def keep(self, request: Request, request_id: str) -> Mapping[str, object]:
        """Keep the label in a request's body, for the request of an id, and return both.

        The same label of the same caller again renews its time. Another one is kept beside it: people may
        change their minds, and disagree.

        Raises
        ------
        Problem
            400, 413 or 415 for the body, 404 if no prediction has this id, 503 while nothing can be kept.
        """
        try:
            if not self._ids.given(request_id):
                raise Problem(404, "No prediction has this id: send the request_id of an answer.")
            sent = _parsed(request)
            self._put(request_id, sent, caller=request.caller)
        except (BotoCoreError, ClientError) as error:
            cause, wait = f"{type(error).__name__}: {error}"[:500], {"Retry-After": RETRY_AFTER_S}
            raise Problem(503, "The label cannot be kept at present.", headers=wait, cause=cause) from error
        return {"request_id": request_id, "label": sent["label"]}

    def _put(self, request_id: str, sent: Mapping[str, str], *, caller: str | None) -> None:
        digest = hashlib.sha256(f"{caller or ''}\0{sent['label']}".encode()).hexdigest()
        members = {
            "request_id": request_id,
            **sent,
            "model_sha256": self._model_sha256,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "caller": caller,
        }
        key = f"{PREFIX}/{request_id}/{digest[:KEY_DIGITS]}.json"
        content = json.dumps(members).encode()
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=MEDIA_TYPE)


def _parsed(request: Request) -> dict[str, str]:
    """Return label and, if there is one, note of a request's body."""
    if request.media_type != MEDIA_TYPE:
        raise Problem(415, f"Send the label as {MEDIA_TYPE}.")
    if len(request.body.encode("utf-8", "replace")) > MAX_BODY_BYTES:
        raise Problem(413, f"The body has more than {MAX_BODY_BYTES:,} bytes.")
    try:
        members = json.loads(request.body)
    except (ValueError, RecursionError):  # the latter for deeply nested lists
        raise Problem(400, "The body is not JSON.") from None
    if not isinstance(members, dict) or not members.keys() <= {"label", "note"}:
        raise Problem(400, 'The body must be an object with the member "label" and, if wanted, "note".')
    if members.get("label") not in CHOICES:
        raise Problem(400, f'The member "label" must be one of {", ".join(CHOICES)}.')
    note = members.get("note", "")
    if not isinstance(note, str) or len(note) > MAX_NOTE_CHARS:
        raise Problem(400, f'The member "note" must be text of at most {MAX_NOTE_CHARS} characters.')
    return members
