"""SageMaker's hosting contract as a bare ASGI application: `GET /ping` and `POST /invocations`."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from . import problem
from .limits import MAX_IMAGE_BYTES, too_many_bytes
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope

    from .pool import Pool

MEDIA_TYPES = ("image/jpeg", "image/png", "application/octet-stream")
CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
# Images being received, waiting or judged. Each holds at most MAX_IMAGE_BYTES: this bounds memory and wait.
MAX_IN_FLIGHT = 64
BODY_S = 20.0  # for an image to arrive; longer takes a client of less than 2 Mbit/s with the largest
ANSWERS = frozenset({"*/*", "application/*", "application/json"})  # what an Accept header may ask for

NAMES = ("request_id", "traceparent")  # what a caller may give a request to be found by in the log
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")

_log = logging.getLogger(__name__)


@dataclass
class Request:
    """One request: its head, how to receive its body, and how many bytes of that came."""

    method: str
    path: str
    headers: dict[str, str]
    receive: ASGIReceiveCallable
    received: int = 0
    phases: dict[str, int] = field(default_factory=dict)  # where its time went, microseconds


@dataclass(frozen=True)
class Response:
    """One response, whole."""

    status: HTTPStatus
    body: bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Application:
    """Answers for the workers of a pool."""

    def __init__(self, pool: Pool, *, workers: int) -> None:
        self._pool = pool
        self._workers = workers
        self._in_flight = 0
        self._routes: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
            "/ping": ("GET", self._ping),
            "/execution-parameters": ("GET", self._execution_parameters),
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
        except asyncio.CancelledError:  # the time to drain is over
            response = _problem(
                Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping: send the image again.")
            )
        except Exception:
            _log.exception("failed")
            response = _problem(
                Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed here; its log says why.")
            )
        answered = time.perf_counter()
        await _send(response, request, send)
        ended = time.perf_counter()
        _log.info(
            "request",
            extra={
                "method": request.method,
                "path": request.path if request.path in self._routes else None,  # else the client's own text
                **_names(request),
                "status": response.status.value,
                "bytes": request.received,
                "ms": round((ended - began) * 1000, 2),
                **request.phases,
                "write_us": int((ended - answered) * 1e6),
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
        ready = self._pool.ready
        if ready == 0:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "No worker is alive; new ones are being started.")
        workers = {"ready": ready, "wanted": self._workers}
        return _json({"status": "ok", "model": self._pool.model, "workers": workers})

    async def _execution_parameters(self, request: Request) -> Response:  # noqa: ARG002 - a route's signature
        """Tell SageMaker's Batch Transform what suits here: an object is an image, never split or joined."""
        return _json(
            {
                "BatchStrategy": "SINGLE_RECORD",
                "MaxConcurrentTransforms": 2 * self._workers,  # one is judged while the next arrives
                "MaxPayloadInMB": MAX_IMAGE_BYTES // 1024**2,
            }
        )

    async def _invocations(self, request: Request) -> Response:
        _check_media_types(request)
        if self._in_flight >= MAX_IN_FLIGHT:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many images are waiting already: try again in a second.",
                headers={"retry-after": "1"},
            )
        self._in_flight += 1
        try:
            with self._pool.image() as image:
                began = time.perf_counter()
                await _receive(request, image)
                request.phases["read_us"] = int((time.perf_counter() - began) * 1e6)
                reply, waited_us = await self._pool.judge(image, heatmap=_wants_heatmap(request))
        finally:
            self._in_flight -= 1
        request.phases |= {
            "queue_us": waited_us,
            "decode_us": reply.decode_us,
            "inference_us": reply.inference_us,
        }
        judged = reply.status == HTTPStatus.OK
        media_type = "application/json" if judged else problem.MEDIA_TYPE
        return Response(HTTPStatus(reply.status), reply.body, media_type)


def _check_media_types(request: Request) -> None:
    media_type = _media_type(request.headers.get("content-type", ""))
    if media_type not in MEDIA_TYPES:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send the image's bytes with one of these as Content-Type: {', '.join(MEDIA_TYPES)}.",
            headers={"accept": ", ".join(MEDIA_TYPES)},
        )
    wanted = request.headers.get("accept") or "*/*"
    if ANSWERS.isdisjoint(_media_type(each) for each in wanted.split(",")):
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE,
            f"The answer is application/json, which Accept: {wanted} rules out: leave the header out.",
        )


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


async def _receive(request: Request, body: bytearray) -> None:
    """Receive the body, and stop as soon as it is known to be too large or too slow."""
    if int(request.headers.get("content-length", 0)) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    more = True
    try:
        async with asyncio.timeout(BODY_S):
            while more:
                message = await request.receive()
                if message["type"] != "http.request":
                    detail = "The connection was closed before the image was complete."
                    raise Problem(HTTPStatus.BAD_REQUEST, detail)
                body += message["body"]
                more = message["more_body"]
                request.received = len(body)
                if len(body) > MAX_IMAGE_BYTES:
                    raise too_many_bytes()
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            f"Of the image only {len(body)} bytes arrived in {BODY_S:.0f} seconds: send it on a faster line.",
            headers={"connection": "close"},
        ) from None


def _attributes(request: Request) -> dict[str, str]:
    """Read SageMaker's one free-form header, which callers may use for attributes of their own as well."""
    attributes = request.headers.get(CUSTOM_ATTRIBUTES, "").replace(";", ",").split(",")
    pairs = (attribute.partition("=") for attribute in attributes)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _wants_heatmap(request: Request) -> bool:
    return _attributes(request).get("heatmap", "").lower() == "true"


def _names(request: Request) -> dict[str, str]:
    given = _attributes(request)
    return {name: given[name] for name in NAMES if _NAME.fullmatch(given.get(name, ""))}


def _json(content: object) -> Response:
    return Response(HTTPStatus.OK, json.dumps(content, ensure_ascii=False).encode())


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
