"""A short-lived process that loads the model once, forks the workers from itself, and ends.

So the workers share the model's memory and nothing else lasts: what only loading has touched, pages of the
model's file and of libraries, goes with the nursery. When a worker has died, another nursery raises the next.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import log
from .metadata import ModelError
from .wire import READY

if TYPE_CHECKING:
    from collections.abc import Callable

    from .predictor import Identity, Predictor
    from .settings import Settings

KEPT_BYTES = 256 * 1024  # of freed memory, at most, that a process keeps for what comes next
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_MESSAGE = 65536  # bytes, more than any message has

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Newborn:
    """A worker that is ready, and the front's end of the socket to it."""

    pid: int
    channel: socket.socket
    model: Identity


class Nursery:
    """A nursery as the front sees it."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel

    @classmethod
    def start(cls, settings: Settings, *, workers: int, forget: Callable[[], None] = lambda: None) -> Nursery:
        """Fork a nursery off this process, which must have one thread.

        Connections and an event loop do no harm: the nursery closes what it inherits, and never comes back.

        Parameters
        ----------
        forget
            Called in the nursery: lets go of memory that it inherits, and its workers after it.

        Raises
        ------
        OSError
            The system has no room for one more process or socket.
        """

        def nursery() -> None:
            forget()
            _nurse(own, settings, workers)

        front, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with own:
            try:
                return cls(_fork(nursery, keeping=own), front)
            except OSError:
                front.close()
                raise

    def next(self) -> Newborn | None:
        """Wait for the next worker; None when the nursery has ended.

        Raises
        ------
        ModelError
            The model cannot be served.
        """
        data, descriptors, _, _ = socket.recv_fds(self.channel, _MESSAGE, 1)
        if not data:
            return None
        message = json.loads(data)
        if "unusable" in message:
            raise ModelError(message["unusable"])
        return Newborn(message["pid"], socket.socket(fileno=descriptors[0]), message["model"])

    def end(self) -> None:
        """End the nursery, if it has not ended by itself; the workers that it has raised stay."""
        self.channel.close()
        self.kill()
        os.waitpid(self.pid, 0)

    def kill(self) -> None:
        """Have the nursery end at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def prepare_process() -> None:
    """Make this process, and all that is forked from it, fit to fork workers; to be called at its start."""
    libc = ctypes.CDLL(None, use_errno=True)
    # A nursery's workers become children of this process, as they would of process 1 of a container.
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    # Images go back to the system: by default glibc learns to keep such large pieces.
    libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    # One thread a process: OpenBLAS would start one a core, which a fork does not take along.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _nurse(front: socket.socket, settings: Settings, workers: int) -> None:
    from .predictor import Predictor  # noqa: PLC0415 - numpy and LiteRT: the front has no use for them

    try:
        with log.native_output_muted():
            predictor = Predictor.load(
                settings.model_dir, name=settings.name, version=settings.version, sha256=settings.sha256
            )
    except ModelError as error:
        front.send(json.dumps({"unusable": str(error)}).encode())
        return
    gc.collect()
    gc.freeze()  # or the workers' collections would copy the pages that they share
    for _ in range(workers):
        _raise(predictor, front)


def _raise(predictor: Predictor, front: socket.socket) -> None:
    """Fork a worker, and tell the front of it once it is ready; say nothing of one that ends before."""
    from .worker import work  # noqa: PLC0415 - beside the predictor

    channel, own = socket.socketpair()
    pid = _fork(lambda: work(predictor, own), keeping=own)
    own.close()
    with channel:
        if channel.recv(len(READY)) != READY:
            os.waitpid(pid, 0)
            return
        message = json.dumps({"pid": pid, "model": predictor.identity}).encode()
        socket.send_fds(front, [message], [channel.fileno()])


def _fork(run: Callable[[], None], *, keeping: socket.socket) -> int:
    """Run a function in a child process that has one open socket and ends with it; return the child's id."""
    sys.stdout.flush()  # or the child would write it once more
    pid = os.fork()
    if pid == 0:
        _be_child(run, keeping)
    return pid


def _be_child(run: Callable[[], None], keeping: socket.socket) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the front, which lets requests end
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # likewise: the front ends them, or its own end does
        gc.freeze()  # nothing that the parent has open is ever finalised here
        for descriptor in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
            if descriptor > sys.stderr.fileno() and descriptor != keeping.fileno():
                with contextlib.suppress(OSError):  # the listing's own
                    os.close(descriptor)
        run()
        code = 0
    except ConnectionError:
        code = 0  # the front has gone: nobody is left to work for
    except Exception:
        _log.exception("failed")
    finally:
        os._exit(code)  # not by way of the parent's clean-up
