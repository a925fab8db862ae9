"""The server process's side of the workers: hands each image to an idle one, replaces those that end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from .problem import Problem
from .settings import ASYNCHRONOUS
from .worker import REPLY_HEAD, REQUEST_HEAD, Loader, Reply, Wanted

if TYPE_CHECKING:
    import socket

    from .predictor import Identity
    from .settings import Settings

# For an image to get a worker: with arriving (20) and predicting (20) below SageMaker's 60; a queue waits.
QUEUE_S = 900.0 if ASYNCHRONOUS else 15.0
LOAD_S = 30.0  # for a loader to load the model and fork, for each worker
RETRY_S = 0.5  # from one loader that started too few workers to the next

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Worker:
    """The connection to one worker process, which answers one image at a time."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    alive: bool = True

    async def predict(self, image: bytes | bytearray, wanted: Wanted) -> Reply:
        """Return the worker's reply to an image; raises OSError or EOFError when the worker has ended."""
        self.writer.writelines([REQUEST_HEAD.pack(len(image), *wanted), image])
        return await _receive(self.reader)

    def kill(self) -> None:
        """End the process at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.writer.transport.abort()


class Pool:
    """The workers of this server. Images wait for one in the order of their arrival."""

    def __init__(self, settings: Settings, loader: Loader) -> None:
        self.model: Identity | None = None  # that the workers have loaded; None before the first is ready
        self.opened = asyncio.Event()  # set when the first worker is ready, or when none can be started
        self._settings = settings
        self._loader = loader
        self._workers: dict[int, Worker] = {}  # by process id, until they are reaped
        self._ended = asyncio.Event()
        self._turn = asyncio.Lock()  # a queue alone would let a new image overtake those that wait
        # The worker that became idle last is used next: its caches are warm.
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        self._reap()  # the loader may have ended before the handler was there
        # Replaces workers that end. Done when no worker is left and none can be started.
        self.keeper = asyncio.create_task(self._keep_complete())

    @property
    def size(self) -> int:
        """Number of workers that are alive."""
        return len(self._workers)

    async def close(self) -> None:
        """End all processes."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)  # these ends are expected
        self.keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.keeper
        for worker in self._workers.values():
            worker.kill()

    async def predict(self, image: bytes | bytearray, wanted: Wanted) -> tuple[Reply, int]:
        """Return the next idle worker's reply, and for how many microseconds the image waited for it.

        Raises `Problem`: 500 if the worker ended or hung on this image, 503 if none became idle in `QUEUE_S`.
        """
        began = time.perf_counter_ns()
        worker = await self._next_idle()
        waited_us = (time.perf_counter_ns() - began) // 1000
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                reply = await worker.predict(image, wanted)
        except TimeoutError:
            worker.kill()
            raise _failed(f"The prediction took longer than {self._settings.timeout_s} seconds") from None
        except (OSError, EOFError):
            worker.kill()
            raise _failed("The process that predicted the image ended") from None
        except asyncio.CancelledError:  # the reply would be taken for the next image's
            worker.kill()
            raise
        self._idle.put_nowait(worker)
        return reply, waited_us

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

    async def _keep_complete(self) -> None:
        """Admit the first loader's workers, then replace those that end, until none can be started."""
        loader: Loader | None = self._loader
        while True:
            if loader is not None and not await self._admit_all(loader) and self.size == 0:
                _log.critical("failed", extra={"reason": "no worker is left and none can be started"})
                self.opened.set()
                return
            if self.size == self._settings.workers:
                self._ended.clear()
                await self._ended.wait()
            else:
                await asyncio.sleep(RETRY_S)
            try:
                loader = Loader(self._settings.workers - self.size)
            except OSError as error:  # too many processes or files, too little memory: may pass
                _log.error("no loader", extra={"reason": str(error)})
                loader = None

    async def _admit_all(self, loader: Loader) -> int:
        """Admit the workers of a loader as they become ready, and return how many did."""
        admissions = [asyncio.create_task(self._admit(connection)) for connection in loader.connections]
        try:
            _, late = await asyncio.wait(admissions, timeout=LOAD_S * len(admissions))
            if late:
                _log.error("loader hung", extra={"pid": loader.pid})
        finally:
            loader.kill()  # has ended by now, unless it hangs or this server stops
            for admission in admissions:
                admission.cancel()
        return sum(admission.result() for admission in admissions if admission not in late)

    async def _admit(self, connection: socket.socket) -> bool:
        """Wait until the worker at the other end is ready; False if it ends before."""
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            hello = json.loads((await _receive(reader)).body)
        except (OSError, EOFError):
            writer.close()
            return False
        worker = Worker(hello["pid"], reader, writer)
        self._workers[worker.pid] = worker
        self._idle.put_nowait(worker)
        self.model = hello["model"]
        self.opened.set()
        return True

    def _reap(self) -> None:
        """Reap the child processes that have ended, which are workers and loaders."""
        with contextlib.suppress(ChildProcessError):  # there are no children
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                pid, status = ended
                if worker := self._workers.pop(pid, None):
                    _log.error("worker ended", extra={"pid": pid, "code": os.waitstatus_to_exitcode(status)})
                    worker.alive = False
                    worker.writer.transport.abort()
                    self._ended.set()


async def _receive(reader: asyncio.StreamReader) -> Reply:
    status, length, decode_us, inference_us = REPLY_HEAD.unpack(await reader.readexactly(REPLY_HEAD.size))
    return Reply(status, await reader.readexactly(length), decode_us, inference_us)


def _failed(what: str) -> Problem:
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"{what}. Other images are not affected: send this one in another form.",
    )
