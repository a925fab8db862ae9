"""A client of the tumor-detector API 1.0.0, in one file that needs Python 3.11 and no package.

Does this brain MRI show a tumour? A research demonstration. Not a medical device.

Written by `scripts/contract` from `infra/gateway/openapi.json`: change what that is made of, not this file.

    client = Client("https://example.org/v1", api_key=os.environ["TUMOR_API_KEY"])
    prediction = client.predict(Path("scan.jpg").read_bytes())
    print(prediction.label, prediction.probability)
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Literal, TypeVar, cast, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

T = TypeVar("T")
Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""From method, URL, headers and body to the headers that sign them (AWS Signature Version 4)."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 8.0
OK, TOO_MANY, SERVER_ERROR = 200, 429, 500


class ClientError(Exception):
    """What every failure of this client is."""


class NoAnswerError(ClientError):
    """The gateway could not be reached, or did not answer in time."""


class MalformedAnswerError(ClientError):
    """What answered is not this API, or another version of it."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, whole; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Sends requests to one address, from any number of threads; each thread keeps its connection.

    Nothing here has a side effect at the far end, so whatever may pass is tried again: after a 429 or 503
    once its `Retry-After` is over, for all threads alike, up to `patience_s` in all; after any other 5xx or
    no answer with growing pauses, up to `attempts` times. Every pause has its jitter.

    Parameters
    ----------
    url
        Where the API is, with or without a slash at the end.
    headers
        What every request carries.
    sign
        Gives the headers that sign a request, where the API wants that.
    timeout_s
        For which the far end may be silent.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        sign: Sign | None,
        timeout_s: float,
        attempts: int,
        patience_s: float,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is not the address of an API: write it like https://example.org/v1")
        self.url = url.rstrip("/")
        self._parts = parts
        self._headers = {"User-Agent": "tumor-detector-client", **headers}
        self._sign = sign
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._patience_s = patience_s
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._not_before = 0.0
        self._closed = threading.Event()

    def close(self) -> None:
        """End every connection, and whatever waits for an answer or for its next attempt."""
        self._closed.set()
        with self._lock:
            for connection in self._open:
                if connection.sock:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None],
        headers: Mapping[str, str | None],
        body: bytes = b"",
    ) -> Reply:
        """Send a request until it is answered with what will not pass, and return that.

        Raises
        ------
        NoAnswerError
            When no answer came, or the client was closed.
        """
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{self._parts.path.rstrip('/')}{quote(path)}{'?' if given else ''}{urlencode(given)}"
        sent = self._headers | {name: value for name, value in headers.items() if value is not None}
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            while (left := self._not_before - time.monotonic()) > 0:  # others may put it off meanwhile
                self._pause(left)
            reply, failure = self._exchange(method, target, sent, body)
            if reply and reply.status != TOO_MANY and reply.status < SERVER_ERROR:
                return reply
            if not self._again(reply, attempt=attempt, began=began):
                if reply:
                    return reply
                raise NoAnswerError(f"{method} {self.url}{path} got no answer: {failure}") from failure
            backoff = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
            jitter = random.uniform(0, backoff)  # noqa: S311 - it spreads load, it keeps no secret
            self._pause(max(self._not_before - time.monotonic(), 0) + jitter)

    def _again(self, reply: Reply | None, *, attempt: int, began: float) -> bool:
        after = reply.headers.get("retry-after", "") if reply else ""
        if not after.isdecimal():
            return attempt < self._attempts
        again = time.monotonic() + int(after)
        if again - began > self._patience_s:
            return False
        with self._lock:
            self._not_before = max(self._not_before, again)
        return True

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(max(seconds, 0)):
            raise NoAnswerError("The client was closed.")

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply | None, Exception | None]:
        signed = self._sign(method, self._origin() + target, headers, body) if self._sign else headers
        connection = self._connection()
        kept = connection.sock is not None
        for _ in range(2 if kept else 1):  # a kept connection may have been dropped at its far end meanwhile
            try:
                return _exchanged(connection, method, target, signed, body), None
            except (OSError, http.client.HTTPException) as error:
                failure = error
                connection.close()
            if self._closed.is_set() or isinstance(failure, TimeoutError):
                break
        return None, failure

    def _origin(self) -> str:
        return f"{self._parts.scheme}://{self._parts.netloc}"

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._new_connection()
            with self._lock:
                self._open.add(connection)
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        proxy = None if proxy_bypass(host) else getproxies().get("https")
        if proxy is None:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s)
        via = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        tunnel = http.client.HTTPSConnection(via.hostname or "", via.port, timeout=self._timeout_s)
        tunnel.set_tunnel(host, port)
        return tunnel


def _exchanged(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> Reply:
    with suppress(BrokenPipeError):  # what is too large may be answered before it was read
        connection.request(method, target, body=body or None, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def parsed(kind: type[T], body: bytes) -> T:
    """Return what JSON says as an object of a dataclass, or of `dict` as it is; what is unknown is left out.

    Raises
    ------
    MalformedAnswerError
        When it is not JSON, or not of that form.
    """
    try:
        node = json.loads(body)
    except ValueError:
        raise MalformedAnswerError("The answer is not JSON.") from None
    return cast("T", _of(kind, node, "answer"))


def _of(kind: object, node: object, where: str) -> object:
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(node, dict):
        return kind(**_members(kind, node, where))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:  # X | None
        return None if node is None else _of(arguments[0], node, where)
    if origin is list and isinstance(node, list):
        return [_of(arguments[0], each, where) for each in node]
    if origin is Literal and node in arguments:
        return node
    if kind is float and isinstance(node, int | float) and not isinstance(node, bool):
        return float(node)
    if kind in {str, int, dict} and type(node) is kind:
        return node
    raise MalformedAnswerError(f"{where} is {str(node)[:100]!r} where {kind} is expected.")


def _members(kind: type, node: Mapping[str, object], where: str) -> dict[str, object]:
    hints, members = get_type_hints(kind), {}
    for field in fields(kind):
        name = field.name.removesuffix("_")  # class_ and others that Python keeps for itself
        if name in node:
            members[field.name] = _of(hints[field.name], node[name], f"{where}.{name}")
        elif field.default is MISSING:
            raise MalformedAnswerError(f"{where} lacks {name}.")
    return members


MAX_IMAGE_BYTES = 4194304


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model that answered."""

    name: str
    version: str  # Its version in the model registry.
    sha256: str  # The hash of its artifact.


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """What the model decided by: a grid over the image's whole area, upright, rows from the top."""

    width: int  # Columns.
    height: int  # Rows.
    # Rows of values, each the probability of YES if the whole image looked like this cell: at or
    # above the threshold it speaks for YES, below it for NO.
    values: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one image."""

    label: Literal["NO", "YES"]  # YES: it sees a tumour. NO: it sees none.
    class_: Literal[0, 1]  # 1 for YES, where the probability is at or above the threshold; else 0.
    probability: float  # The calibrated probability of YES.
    # From which probability the model says YES; chosen on validation data, it travels with the model.
    threshold: float
    model: Model
    heatmap: Heatmap | None = None  # Only where it was asked for; null where the model offers none.
    request_id: str  # Names this request in the logs.


@dataclass(frozen=True, kw_only=True)
class ServedModel(Model):
    """The model that serves, and whether it should."""

    # What it was trained on: real images, or phantoms drawn by the project, which make its answers
    # mean nothing.
    kind: Literal["images", "phantom"]
    gates_failed: list[str]  # The quality gates that it did not pass, by name.
    forced: str | None = None  # Why it serves although a gate failed, where somebody decided so.


@dataclass(frozen=True, kw_only=True)
class Health:
    """The endpoint serves, with this model."""

    status: Literal["ok"]
    model: ServedModel


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why the request was not answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str  # What is wrong and what to do instead.
    # Only with a 422 that the model's score decided: how much the image looks like a brain MRI to it.
    score: float | None = None
    # Comes with the score: from which score on the model judges; chosen by cross-validation, it
    # travels with the model.
    score_threshold: float | None = None
    request_id: str  # Names this request in the logs.


class ProblemError(ClientError):
    """The request was answered with a problem, which says why; there is a class for each status."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.problem = problem


class BadRequestError(ProblemError):
    """400 Bad Request."""


class UnauthorizedError(ProblemError):
    """401 Unauthorized."""


class ForbiddenError(ProblemError):
    """403 Forbidden."""


class NotFoundError(ProblemError):
    """404 Not Found."""


class ContentTooLargeError(ProblemError):
    """413 Content Too Large."""


class UnsupportedMediaTypeError(ProblemError):
    """415 Unsupported Media Type."""


class UnprocessableContentError(ProblemError):
    """422 Unprocessable Content."""


class TooManyRequestsError(ProblemError):
    """429 Too Many Requests."""


class InternalServerError(ProblemError):
    """500 Internal Server Error."""


class BadGatewayError(ProblemError):
    """502 Bad Gateway."""


class ServiceUnavailableError(ProblemError):
    """503 Service Unavailable."""


class GatewayTimeoutError(ProblemError):
    """504 Gateway Timeout."""


PROBLEMS: Mapping[int, type[ProblemError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: ContentTooLargeError,
    415: UnsupportedMediaTypeError,
    422: UnprocessableContentError,
    429: TooManyRequestsError,
    500: InternalServerError,
    502: BadGatewayError,
    503: ServiceUnavailableError,
    504: GatewayTimeoutError,
}


class Client(Transport):
    """Does this brain MRI show a tumour? A research demonstration.

    Every method raises a `ProblemError` when it is answered with a problem, a `NoAnswerError` when it is not
    answered, and a `MalformedAnswerError` when what answers is not this API.

    Parameters
    ----------
    url
        Where the API is, with or without a slash at the end.
    api_key, access_token, sign
        What shows who you are, as the deployment asks for it: its document names the one or none.
    timeout_s
        For which the far end may be silent; API Gateway itself gives up after 29.
    attempts
        How often a request is sent that fails without a `Retry-After`.
    patience_s
        How long, in all, it is put off where there is one.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        access_token: str | None = None,
        sign: Sign | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
        patience_s: float = 60.0,
    ) -> None:
        headers = {"x-api-key": api_key} if api_key else {}
        if access_token:
            headers["Authorization"] = f"Bearer {access_token}"
        super().__init__(
            url, headers=headers, sign=sign, timeout_s=timeout_s, attempts=attempts, patience_s=patience_s
        )

    def predict(self, image: bytes, *, heatmap: bool = False, traceparent: str | None = None) -> Prediction:
        """Classify one image.

        The image is the body itself, or the one part named `image` of a form: one image a request,
        several images are several requests. Among the image types the bytes decide, not the name: a
        PNG sent as `image/jpeg` is taken. CMYK, 16-bit, palette, transparent and EXIF-rotated images
        are handled; of an animated PNG the first frame counts.

        Parameters
        ----------
        heatmap
            Whether to add the map of what the model decided by.
        traceparent
            W3C trace context: names the trace that this request is part of, in the logs of every hop.
            What is none is ignored.
        """
        return parsed(
            Prediction,
            self._get(
                "POST",
                "/predict",
                accept="application/json",
                query={"heatmap": "true" if heatmap else "false"},
                headers={"Content-Type": "application/octet-stream", "traceparent": traceparent},
                body=image,
            ),
        )

    def health(self) -> Health:
        """Whether the model serves, and which."""
        return parsed(Health, self._get("GET", "/health", accept="application/json"))

    def model_card(self) -> str:
        """The card of the model that serves.

        What it was trained on, how well it does and where it fails. As a page, or as Markdown where
        only that is accepted.
        """
        return self._get("GET", "/model-card", accept="text/markdown").decode()

    def openapi(self) -> dict[str, object]:
        """The OpenAPI document."""
        return parsed(dict, self._get("GET", "/openapi.json", accept="application/json"))

    def docs(self) -> str:
        """The OpenAPI document as a page."""
        return self._get("GET", "/docs", accept="text/html").decode()

    def page(self) -> str:
        """The page for people."""
        return self._get("GET", "/", accept="text/html").decode()

    def _get(
        self,
        method: str,
        path: str,
        *,
        accept: str,
        query: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: bytes = b"",
    ) -> bytes:
        sent = {"Accept": f"{accept}, application/problem+json", **(headers or {})}
        reply = self.call(method, path, query=query or {}, headers=sent, body=body)
        media_type = reply.headers.get("content-type", "").partition(";")[0]
        if reply.status == OK and media_type == accept:
            return reply.body
        if reply.status in PROBLEMS and media_type == "application/problem+json":
            raise PROBLEMS[reply.status](parsed(Problem, reply.body))
        raise MalformedAnswerError(f"{method} {path} was answered with {reply.status} {media_type}.")
