"""The server process: SageMaker's hosting contract as a bare ASGI application, run by uvicorn."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import resource
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import problem
from .pool import Pool
from .problem import MAX_IMAGE_BYTES, Problem, failure, too_many_bytes
from .settings import ASYNCHRONOUS, MAX_WORKERS
from .worker import Wanted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope

    from .settings import Settings
    from .worker import Loader

MEDIA_TYPES = ("image/jpeg", "image/png", "application/dicom", "application/octet-stream")
# What browsers call JPEG and PNG files too.
OTHER_NAMES = ("image/jpg", "image/pjpeg", "image/x-png")
ACCEPTED = frozenset({"*/*", "application/*", "application/json"})  # by an Accept header
CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
LOGGED_ATTRIBUTES = ("request_id", "traceparent")  # by which a caller finds its request in the log
FINAL = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT}  # refusals: the same image gets them again
ADDITIONS = ("heatmap", "preview", "statistics")  # to an answer, each where its attribute is true
_FRAME = re.compile(r"[1-9][0-9]{0,8}")
_LOGGED_VALUE = re.compile(r"[A-Za-z0-9-]{1,64}")
# Images being received, waiting or predicted, each of at most MAX_IMAGE_BYTES: bounds memory and waiting.
MAX_IN_FLIGHT = 64
BODY_S = 20.0  # for an image to arrive; the largest takes this long at 2 Mbit/s
KEEP_ALIVE_S = 75  # longer than callers keep idle connections, so that none is closed while a caller uses it
FROZEN_S = 1.0  # a timer that fires this late fires after a freeze
THAWED_S = 5.0  # for the request that ended a freeze to arrive
DRAIN_S = 25  # SageMaker kills 30 s after SIGTERM
BACKLOG = MAX_IN_FLIGHT  # connections that are accepted at once, before they are counted
# Of the process's files: for workers that are being replaced, and for three rounds of accepting.
RESERVED_FILES = 3 * MAX_WORKERS + 3 * BACKLOG

_log = logging.getLogger(__name__)


class Request:
    """One request: its head, how to receive its body, and what to log about it."""

    def __init__(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> None:
        self.method, self.path = scope["method"], scope["path"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.receive = receive
        self.received = 0  # bytes of the body
        self.phases: dict[str, int] = {}  # microseconds
        # SageMaker's only header for callers; it may hold attributes of the caller's own too.
        pairs = (pair.partition("=") for pair in re.split("[,;]", self.headers.get(CUSTOM_ATTRIBUTES, "")))
        self.attributes = {name.strip().lower(): value.strip() for name, _, value in pairs}


class Response(NamedTuple):
    """One response; the headers are those beyond type and length."""

    status: int
    body: bytes
    media_type: str
    headers: dict[str, str]


async def run(settings: Settings, loader: Loader) -> bool:
    """Serve until SIGTERM; False if no worker can be started or, later, replaced."""
    pool = Pool(settings, loader)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    try:
        await pool.opened.wait()
        if pool.model is None:
            return False
        config = uvicorn.Config(
            Application(pool, workers=settings.workers, batch=settings.batch or ASYNCHRONOUS),
            host=settings.host,
            port=settings.port,
            http=Connection,
            backlog=BACKLOG,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
        server = uvicorn.Server(config)
        listener = listen(config)
        host, port = listener.getsockname()[:2]
        ready = {"host": host, "port": port, "workers": settings.workers, "model": pool.model}
        _log.info("ready", extra=ready)
        pool.keeper.add_done_callback(lambda _: setattr(server, "should_exit", True))
        await server.serve(sockets=[listener])
        return not pool.keeper.done()
    finally:
        await pool.close()


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's that fits into the open files, and whose idle timer allows for a freeze.

    Serverless inference runs on Lambda, which allows 1,024 files and freezes idle containers.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or close it where the files would run out: asyncio would log without end."""
        super().connection_made(transport)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if len(self.connections) > max(MAX_IN_FLIGHT, files - RESERVED_FILES):
            transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection, but after a freeze wait for the request that may have ended it."""
        timer = self.timeout_keep_alive_task
        if timer and self.loop.time() - timer.when() > FROZEN_S:
            self.timeout_keep_alive_task = self.loop.call_later(THAWED_S, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()


def listen(config: uvicorn.Config) -> socket.socket:
    """Listen with TCP_NODELAY, so that each part of a response is sent at once.

    asyncio sets the option only on sockets whose protocol was named, which uvicorn's are not. Without it the
    body can wait for the acknowledgement of the header, which a client may delay by 40 ms.
    """
    listener = config.bind_socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
    listener.listen(config.backlog)
    return listener


class Application:
    """Answers requests with the workers of a pool.

    In a job of Batch Transform, or from a queue, (`batch`) a refused image is answered with 200 and its
    problem: any other status would fail the whole job, or be no answer. Server errors, and a late body, stay
    errors, which a job tries again.
    """

    def __init__(self, pool: Pool, *, workers: int, batch: bool = False) -> None:
        self._pool = pool
        self._workers = workers
        self._batch = batch
        self._in_flight = 0
        self._routes: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
            "/ping": ("GET", self._ping),
            "/execution-parameters": ("GET", self._execution_parameters),
            "/invocations": ("POST", self._invocations),
        }

    async def __call__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request, even when that fails, and log one line about it."""
        began = time.perf_counter()
        request = Request(scope, receive)
        try:
            response = await self._route(request)
        except Problem as refusal:
            response = _problem(refusal)
        except asyncio.CancelledError:  # the time to drain is over
            stopping = "The server is stopping: send the image again."
            response = _problem(Problem(HTTPStatus.SERVICE_UNAVAILABLE, stopping))
        except Exception:
            _log.exception("failed")
            response = _problem(failure())
        if self._batch and request.path == "/invocations" and response.status in FINAL:
            response = response._replace(status=HTTPStatus.OK, media_type="application/json")
        answered = time.perf_counter()
        await _send(response, request, send)
        ended = time.perf_counter()
        named = ((name, request.attributes.get(name, "")) for name in LOGGED_ATTRIBUTES)
        known = request.path in self._routes  # any other path is the client's text
        _log.info(
            "request",
            extra={
                "method": request.method,
                "path": request.path if known else None,
                **{name: value for name, value in named if _LOGGED_VALUE.fullmatch(value)},
                "status": int(response.status),
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

    async def _ping(self, _: Request) -> Response:
        if self._pool.size == 0:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "No worker is alive; new ones are being started.")
        workers = {"ready": self._pool.size, "wanted": self._workers}
        return _json({"status": "ok", "model": self._pool.model, "workers": workers})

    async def _execution_parameters(self, _: Request) -> Response:
        """Give Batch Transform its parameters: an object is an image, never split or joined."""
        return _json(
            {
                "BatchStrategy": "SINGLE_RECORD",
                "MaxConcurrentTransforms": 2 * self._workers,  # one is predicted while the next arrives
                "MaxPayloadInMB": MAX_IMAGE_BYTES // 1024**2,
            }
        )

    async def _invocations(self, request: Request) -> Response:
        _check_media_types(request)
        if self._in_flight >= MAX_IN_FLIGHT:
            detail = "Too many images are waiting already: try again in a second."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"retry-after": "1"})
        self._in_flight += 1
        try:
            began = time.perf_counter()
            image = await _receive(request)
            request.phases["read_us"] = int((time.perf_counter() - began) * 1e6)
            reply, waited_us = await self._pool.predict(image, _wanted(request.attributes))
        finally:
            self._in_flight -= 1
        request.phases |= {
            "queue_us": waited_us,
            "decode_us": reply.decode_us,
            "inference_us": reply.inference_us,
        }
        media_type = "application/json" if reply.status == HTTPStatus.OK else problem.MEDIA_TYPE
        return Response(reply.status, reply.body, media_type, {})


def _wanted(attributes: Mapping[str, str]) -> Wanted:
    frame = attributes.get("frame", "")
    all_frames = ASYNCHRONOUS and frame == "all"
    additions = {name: attributes.get(name, "").lower() == "true" for name in ADDITIONS}
    return Wanted(frame=int(frame) if _FRAME.fullmatch(frame) else 0, all_frames=all_frames, **additions)


def _check_media_types(request: Request) -> None:
    if _media_type(request.headers.get("content-type", "")) not in (*MEDIA_TYPES, *OTHER_NAMES):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send the image's bytes with one of these as Content-Type: {', '.join(MEDIA_TYPES)}.",
            headers={"accept": ", ".join(MEDIA_TYPES)},
        )
    accept = request.headers.get("accept") or "*/*"
    if ACCEPTED.isdisjoint(map(_media_type, accept.split(","))):
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE,
            f"The answer is application/json, which Accept: {accept} rules out: leave the header out.",
        )


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


async def _receive(request: Request) -> bytearray:
    """Receive the body, and stop as soon as it is known to be too large or too slow."""
    if int(request.headers.get("content-length", 0)) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    body = bytearray()
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
            f"Only {len(body)} bytes of the image arrived in {BODY_S:.0f} seconds: use a faster connection.",
            headers={"connection": "close"},
        ) from None
    return body


def _json(content: object) -> Response:
    return Response(HTTPStatus.OK, json.dumps(content, ensure_ascii=False).encode(), "application/json", {})


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
            "status": int(response.status),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "trailers": False,
        }
    )
    await send({"type": "http.response.body", "body": response.body, "more_body": False})
