"""SageMaker's hosting contract as a bare ASGI application: `GET /ping` and `POST /invocations`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from . import problem
from .imaging import MAX_IMAGE_BYTES, too_many_bytes
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope

    from .predictor import Predictor

MEDIA_TYPES = ("image/jpeg", "image/png", "application/octet-stream")
CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
# Images being received, waiting or judged. Each holds at most MAX_IMAGE_BYTES: this bounds memory and wait.
MAX_IN_FLIGHT = 64

_log = logging.getLogger(__name__)


@dataclass
class Request:
    """One request: its head, how to receive its body, and how many bytes of that came."""

    method: str
    path: str
    headers: dict[str, str]
    receive: ASGIReceiveCallable
    received: int = 0


@dataclass(frozen=True)
class Response:
    """One response, whole."""

    status: HTTPStatus
    body: bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Application:
    """Answers for one predictor, one image at a time and in the order of arrival.

    Letting inferences interleave would finish none of them sooner and double the slowest.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predictor")
        self._in_flight = 0
        self._routes: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
            "/ping": ("GET", self._ping),
            "/invocations": ("POST", self._invocations),
        }

    async def __call__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request, whatever happens, and log one line about it."""
        began = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, receive)
        try:
            response = await self._route(request)
        except Problem as refusal:
            response = _problem(refusal)
        except Exception:
            _log.exception("failed")
            response = _problem(
                Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed here; its log says why.")
            )
        await _send(response, request, send)
        _log.info(
            "request",
            extra={
                "method": request.method,
                "path": request.path,
                "status": response.status.value,
                "bytes": request.received,
                "ms": round((time.perf_counter() - began) * 1000, 2),
            },
        )

    async def _route(self, request: Request) -> Response:
        if request.path not in self._routes:
            detail = "There is nothing here: GET /ping or POST an image to /invocations."
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        method, answer = self._routes[request.path]
        if request.method != method:
            detail = f"{request.path} takes {method} only."
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"allow": method})
        return await answer(request)

    async def _ping(self, request: Request) -> Response:  # noqa: ARG002 - a route's signature
        return _json({"status": "ok", "model": self._predictor.identity})

    async def _invocations(self, request: Request) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Send the image's bytes with one of these as Content-Type: {', '.join(MEDIA_TYPES)}.",
                headers={"accept": ", ".join(MEDIA_TYPES)},
            )
        if self._in_flight >= MAX_IN_FLIGHT:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many images are waiting already: try again in a second.",
                headers={"retry-after": "1"},
            )
        self._in_flight += 1
        try:
            image = await _body(request)
            predict = partial(self._predictor.predict, image, heatmap=_wants_heatmap(request))
            return _json(await asyncio.get_running_loop().run_in_executor(self._worker, predict))
        finally:
            self._in_flight -= 1


async def _body(request: Request) -> bytes:
    """Receive the body, and stop as soon as it is known to be too large."""
    if int(request.headers.get("content-length", 0)) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise Problem(HTTPStatus.BAD_REQUEST, "The connection was closed before the image was complete.")
        body += message["body"]
        more = message["more_body"]
        request.received = len(body)
        if len(body) > MAX_IMAGE_BYTES:
            raise too_many_bytes()
    return bytes(body)


def _wants_heatmap(request: Request) -> bool:
    """Read SageMaker's one free-form header, which callers may use for attributes of their own as well."""
    attributes = request.headers.get(CUSTOM_ATTRIBUTES, "").replace(";", ",").split(",")
    return "heatmap=true" in (attribute.strip().lower() for attribute in attributes)


def _json(content: object) -> Response:
    # NaN is no JSON: a network that gives it has failed, and says so as a 500.
    return Response(HTTPStatus.OK, json.dumps(content, ensure_ascii=False, allow_nan=False).encode())


def _problem(refusal: Problem) -> Response:
    return Response(refusal.status, refusal.body(), problem.MEDIA_TYPE, refusal.headers)


async def _send(response: Response, request: Request, send: ASGISendCallable) -> None:
    headers = {
        "content-type": response.media_type,
        "content-length": str(len(response.body)),
        **response.headers,
    }
    if CUSTOM_ATTRIBUTES in request.headers:
        headers[CUSTOM_ATTRIBUTES] = request.headers[CUSTOM_ATTRIBUTES]
    await send(
        {
            "type": "http.response.start",
            "status": response.status.value,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "trailers": False,
        }
    )
    await send({"type": "http.response.body", "body": response.body, "more_body": False})
