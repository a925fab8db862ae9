"""The front's side of the workers: hands each image to one that is idle, and replaces those that fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from .metadata import ModelError
from .nursery import Nursery
from .problem import Problem
from .wire import REPLY_HEAD, REQUEST_HEAD, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .nursery import Newborn
    from .predictor import Identity
    from .settings import Settings

QUEUE_S = 15.0  # that an image waits for a worker: with 20 to arrive and 20 to be judged below SageMaker's 60
LOAD_S = 30.0  # that a nursery may take for each worker
RETRY_S = 0.5  # from a nursery that raised too few to the next

_log = logging.getLogger(__name__)


class Worker(asyncio.Protocol):
    """The socket to one worker process, which answers one image at a time."""

    def __init__(self, pid: int, *, timeout_s: int, when_ended: Callable[[Worker], None]) -> None:
        self.pid = pid
        self._timeout_s = timeout_s
        self.alive = True
        self._when_ended = when_ended
        self._received = bytearray()
        self._reply: asyncio.Future[Reply] | None = None

    async def ask(self, image: bytes | bytearray, *, heatmap: bool) -> Reply:
        """Have an image judged.

        Raises
        ------
        TimeoutError
            It hangs.
        EOFError
            The worker has ended.
        """
        if not self.alive:
            raise EOFError
        self._received.clear()
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.writelines([REQUEST_HEAD.pack(len(image), heatmap), image])
        async with asyncio.timeout(self._timeout_s):
            return await self._reply

    def kill(self) -> None:
        """End it at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._transport.abort()

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        """Keep the way to the worker."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Put the reply together."""
        self._received += data
        if len(self._received) < REPLY_HEAD.size or self._reply is None or self._reply.done():
            return
        status, length, decode_us, inference_us = REPLY_HEAD.unpack_from(self._received)
        if len(self._received) == REPLY_HEAD.size + length:
            body = bytes(self._received[REPLY_HEAD.size :])
            self._reply.set_result(Reply(status, body, decode_us, inference_us))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - how it was lost says nothing
        """Say that it has ended to whoever waits for it."""
        self.alive = False
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(EOFError())
        self._when_ended(self)


class Pool:
    """All workers. Images wait for one in the order of their arrival.

    Attributes
    ----------
    model
        What the workers answer with.
    lost
        Set when no worker is left and none can be raised.
    """

    def __init__(self, settings: Settings, nursery: Nursery, first: Newborn) -> None:
        self.model: Identity = first.model
        self.lost = asyncio.Event()
        self._settings = settings
        self._first = first
        self._nursery: Nursery | None = nursery
        self._raised = 1  # workers by the present nursery, so far
        self._closing = False
        self._workers: set[Worker] = set()
        self._images: dict[int, bytearray] = {}  # in flight, by their ids
        self._turn = asyncio.Lock()  # a queue alone would let a newcomer overtake those who wait
        # The last to become idle is the next to be asked: its caches are warm.
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()

    async def open(self) -> None:
        """Take the first worker in, and from now on every other."""
        await self._admit(self._first)
        if self._nursery is not None:
            self._listen_to(self._nursery)

    def close(self) -> None:
        """End all that was started."""
        self._closing = True
        self._end_nursery()
        for worker in self._workers:
            worker.alive = False
            _end(worker)

    @property
    def ready(self) -> int:
        """Number of workers that are alive."""
        return len(self._workers)

    @contextlib.contextmanager
    def image(self) -> Iterator[bytearray]:
        """Make room for an image in flight: a nursery that is forked meanwhile does not keep it."""
        image = bytearray()
        self._images[id(image)] = image
        try:
            yield image
        finally:
            del self._images[id(image)]

    async def judge(self, image: bytes | bytearray, *, heatmap: bool) -> tuple[Reply, int]:
        """Have an image judged by the next idle worker.

        Returns
        -------
        The worker's reply, and for how many microseconds the image waited for it.

        Raises
        ------
        Problem
            500 when the worker ended or hung over this image, 503 when none became idle in `QUEUE_S`.
        """
        began = time.perf_counter_ns()
        worker = await self._next_idle()
        waited = (time.perf_counter_ns() - began) // 1000
        try:
            reply = await worker.ask(image, heatmap=heatmap)
        except TimeoutError:
            worker.kill()
            raise _failed(f"Judging the image took longer than {self._settings.timeout_s} seconds") from None
        except EOFError:
            raise _failed("The process that judged the image ended over it") from None
        except asyncio.CancelledError:  # its reply would be taken for the next one's
            worker.kill()
            raise
        self._idle.put_nowait(worker)
        return reply, waited

    async def _next_idle(self) -> Worker:
        try:
            async with asyncio.timeout(QUEUE_S), self._turn:
                while not (worker := await self._idle.get()).alive:
                    pass
                return worker
        except TimeoutError:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "No worker became free for this image in time: try again in a few seconds.",
                headers={"retry-after": "5"},
            ) from None

    async def _admit(self, newborn: Newborn) -> None:
        loop = asyncio.get_running_loop()
        _, worker = await loop.create_unix_connection(
            lambda: Worker(newborn.pid, timeout_s=self._settings.timeout_s, when_ended=self._replace),
            sock=newborn.channel,
        )
        self._workers.add(worker)
        self._idle.put_nowait(worker)

    def _replace(self, worker: Worker) -> None:
        if not self._closing:
            self._workers.discard(worker)
            _log.error("worker ended", extra={"pid": worker.pid, "code": _end(worker)})
            self._raise_missing()

    def _raise_missing(self) -> None:
        missing = self._settings.workers - len(self._workers)
        if missing > 0 and self._nursery is None and not self._closing:
            loop = asyncio.get_running_loop()
            try:
                nursery = Nursery.start(self._settings, workers=missing, forget=self._forget_images)
            except OSError as error:  # too many processes or files, too little memory: it may pass
                _log.error("no nursery", extra={"reason": str(error)})
                loop.call_later(RETRY_S, self._raise_missing)
                return
            self._nursery, self._raised = nursery, 0
            self._listen_to(nursery)
            loop.call_later(LOAD_S * missing, self._give_up, nursery)

    def _forget_images(self) -> None:
        for image in self._images.values():
            with contextlib.suppress(BufferError):  # on its way to a worker
                image.clear()

    def _give_up(self, nursery: Nursery) -> None:
        if self._nursery is nursery:
            _log.error("nursery hung", extra={"pid": nursery.pid})
            nursery.kill()  # its end is heard like any other

    def _listen_to(self, nursery: Nursery) -> None:
        if self._nursery is nursery:
            asyncio.get_running_loop().add_reader(nursery.channel, self._hear, nursery)

    def _hear(self, nursery: Nursery) -> None:
        """Take in what a nursery sends: a worker, or its end."""
        try:
            newborn = nursery.next()
        except ModelError as error:
            _log.critical("unusable model", extra={"reason": str(error)})
            newborn = None
        loop = asyncio.get_running_loop()
        if newborn is not None:
            # Its end is heard only once the worker is in, or the last worker would seem to be missing.
            loop.remove_reader(nursery.channel)
            self._raised += 1
            self._admitting = asyncio.ensure_future(self._admit(newborn))
            self._admitting.add_done_callback(lambda _: self._listen_to(nursery))
            return
        self._end_nursery()
        loop.call_later(RETRY_S, self._reap)
        if self._workers or self._raised:
            loop.call_later(RETRY_S, self._raise_missing)
        else:
            _log.critical("failed", extra={"reason": "no worker is left and none can be raised"})
            self.lost.set()

    def _end_nursery(self) -> None:
        if self._nursery is not None:
            asyncio.get_running_loop().remove_reader(self._nursery.channel)
            self._nursery.end()
            self._nursery = None

    def _reap(self) -> None:
        """Take leave of children that nobody waits for: those that ended while they were a nursery's."""
        known = {worker.pid for worker in self._workers}
        with contextlib.suppress(ChildProcessError):  # there are no children at all
            while self._nursery is None and not self._closing:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None or ended.si_pid in known:
                    return
                os.waitpid(ended.si_pid, 0)


def _end(worker: Worker) -> int | None:
    """Make sure that a worker has ended.

    Returns
    -------
    Its exit code, minus the signal if one ended it; None while it is its nursery's child, see `Pool._reap`.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGKILL)
    try:
        _, status = os.waitpid(worker.pid, 0)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


def _failed(what: str) -> Problem:
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, f"{what}. Other images are judged: send another form of this one."
    )
