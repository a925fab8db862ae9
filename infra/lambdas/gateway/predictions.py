"""Predictions that are asked now and answered later. S3 holds all state, by the ids of requests.

An image lies under `IMAGES`. What was asked of it lies under `REQUESTS`, with the places of answer and
failure once SageMaker has queued it: to ask the same id again finds them and infers nothing twice.
"""

from __future__ import annotations

import json
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import endpoint_errors, metrics, prediction
from .aws import client
from .problems import Problem
from .proxy import Request, Response
from .upload import IMAGE_TYPES, image_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from .endpoint import Endpoint
    from .request_ids import RequestIds

IMAGES, REQUESTS, ANSWERS, FAILURES = "images", "requests", "answers", "failures"
JSON, LINES, OCTETS = "application/json", "application/jsonl", "application/octet-stream"
MAX_UPLOAD_BYTES = 100 * 1024**2
UPLOAD_S = 3600  # for an upload to begin; the Lambda's own credentials may end it earlier
RETRY_AFTER_S = "2"
LOST_S = 8 * 3600  # longer than SageMaker keeps a request queued (6 h) and lets it run (1 h)
MAX_ANSWER_BYTES = 4 * 1024**2  # Lambda returns at most 6 MB
# A regional address: the global one redirects, which a page's upload does not survive.
CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
    signature_version="s3v4",
    s3={"addressing_style": "virtual"},
)


class Predictions:
    """The bucket and the queue; every method raises a `Problem`, 503 while S3 cannot be reached."""

    def __init__(self, bucket: str, *, endpoint: Endpoint, ids: RequestIds) -> None:
        self._bucket = bucket
        self._endpoint = endpoint
        self._ids = ids

    @cached_property
    def _s3(self) -> S3Client:
        return cast("S3Client", client("s3", CONFIG))

    @property
    def upload_origin(self) -> str:
        """The origin to which pages upload."""
        parts = urlsplit(self._s3.generate_presigned_post(self._bucket, IMAGES)["url"])
        return f"{parts.scheme}://{parts.netloc}"

    def begin(self, request: Request, attributes: str) -> Response:
        """Queue the image in a request's body; without one, return where to upload it."""
        image, kind = image_of(request) if request.body else None, request.media_type or OCTETS
        if kind not in IMAGE_TYPES and image is None:
            raise Problem(415, f"Without an image, the Content-Type must be one of {', '.join(IMAGE_TYPES)}.")
        try:
            if not self._ids.given(request.id):
                raise _unavailable("the key of request ids could not be read")
            if image is not None:
                self._s3.put_object(Bucket=self._bucket, Key=f"{IMAGES}/{request.id}", Body=image)
                self._queue(request.id, attributes)
                return _accepted(request.id, "running")
            self._keep(request.id, {"attributes": attributes, "until": time.time() + UPLOAD_S})
            upload = self._s3.generate_presigned_post(
                self._bucket,
                f"{IMAGES}/{request.id}",
                Fields={"Content-Type": kind},
                Conditions=[{"Content-Type": kind}, ["content-length-range", 1, MAX_UPLOAD_BYTES]],
                ExpiresIn=UPLOAD_S,
            )
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(f"{type(error).__name__}: {error}"[:500]) from error
        return _accepted(request.id, "waiting", upload_url=upload["url"], upload_fields=upload["fields"])

    def answer(self, id_: str, *, start: bool) -> Response:
        """Return the answer to an id or that there is none yet; `start` queues what was uploaded."""
        try:
            if not self._ids.given(id_):
                raise Problem(404, "No prediction has this id: it is in the answer to POST /predictions.")
            found = self._read(f"{REQUESTS}/{id_}.json")
            if found is None:
                raise _expired()
            asked = json.loads(found)
            if "answer" not in asked:
                late = time.time() > asked["until"]
                if not start and not late:
                    return _accepted(id_, "waiting")
                uploaded = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=f"{IMAGES}/{id_}")
                if not uploaded.get("Contents"):
                    if late:
                        raise _expired()
                    raise Problem(409, "The image has not arrived: upload it, then ask again.")
                if not start:
                    return _accepted(id_, "waiting")
                asked = self._queue(id_, asked["attributes"])
            if (answer := self._read(asked["answer"])) is not None:
                return _answered(answer, id_, frames="frame=all" in asked["attributes"].split(";"))
            if (failure := self._read(asked["failure"])) is not None:
                raise Problem(502, "The model failed.", cause=failure[:500].decode("utf-8", "replace"))
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(f"{type(error).__name__}: {error}"[:500]) from error
        if time.time() - asked["at"] > LOST_S:
            raise _expired()
        return _accepted(id_, "running")

    def _queue(self, id_: str, attributes: str) -> dict[str, Any]:
        """Have SageMaker queue an image, and keep where its answer will be."""
        try:
            answer, failure = self._endpoint.queue(f"s3://{self._bucket}/{IMAGES}/{id_}", attributes, id_)
        except (BotoCoreError, ClientError) as error:
            raise endpoint_errors.problem(error) from error
        keys = {"answer": _key(answer), "failure": _key(failure)}
        return self._keep(id_, {"attributes": attributes, "at": time.time(), **keys})

    def _keep(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(asked).encode()
        self._s3.put_object(Bucket=self._bucket, Key=f"{REQUESTS}/{id_}.json", Body=content, ContentType=JSON)
        return asked

    def _read(self, key: str) -> bytes | None:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return None
        if found["ContentLength"] > MAX_ANSWER_BYTES:
            raise Problem(422, "The answers are too large together: ask for single frames.")
        return found["Body"].read()


def _key(location: str) -> str:
    return location.removeprefix("s3://").partition("/")[2]


def _accepted(id_: str, status: str, **more: object) -> Response:
    # Relative to the stage, whose address behind another domain is not known here.
    document = {"id": id_, "status": status, "status_url": f"predictions/{id_}", **more}
    headers = {"Cache-Control": "no-store", "Retry-After": RETRY_AFTER_S}
    return Response(202, JSON, json.dumps(document), headers)


def _answered(answer: bytes, id_: str, *, frames: bool) -> Response:
    """Return an answer as /predict gives it, or one line a frame; raise the problem of a refused image."""
    headers, refused = {"Cache-Control": "no-store"}, _problem(answer)
    if refused and "frame" not in refused:
        raise endpoint_errors.image_problem(refused["status"], answer.decode())
    if frames:
        each = (_problem(line) or prediction.parse(line)[0] for line in answer.splitlines())
        lines = "".join(json.dumps({**members, "request_id": id_}) + "\n" for members in each)
        return Response(200, LINES, lines, headers)
    members, watched = prediction.parse(answer)
    body, outcome = json.dumps({**members, "request_id": id_}), metrics.OF_A_LABEL.get(members["label"])
    watched = watched and {**watched, "request_id": id_}  # not that of the request which reads the answer
    return Response(200, JSON, body, headers, outcome, watched)


def _problem(answer: bytes) -> dict[str, Any] | None:
    """Return the members of a problem, which the container answers as any other answer."""
    try:
        members = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    statuses = (*endpoint_errors.ABOUT_THE_IMAGE, 500)  # the latter of a frame
    return members if isinstance(members, dict) and members.get("status") in statuses else None


def _expired() -> Problem:
    return Problem(410, "The prediction has expired: send the image again.")


def _unavailable(cause: str) -> Problem:
    wait = {"Retry-After": "5"}
    return Problem(503, "Predictions cannot be kept at present; try again.", headers=wait, cause=cause)
