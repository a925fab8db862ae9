"""The worker processes: a short-lived loader loads the model and forks them, so that they share its memory.

The loader then ends, which frees the pages that only loading needed. A worker predicts one image at a time: a
crash, a hang or a kill for lack of memory costs one image. As a program this module is a loader, with a
socket for each worker: `python3 -m container.worker DESCRIPTOR...`.
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
import struct
import sys
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from . import log
from .metadata import ModelError
from .problem import Problem, failure
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from .predictor import Predictor

REQUEST_HEAD = struct.Struct("!I???I?")  # bytes of the image, and `Wanted`
REPLY_HEAD = struct.Struct("!HIII")  # status, bytes of the body, the two phases of `Reply`

OOM_SCORE = "500"  # of 1000: when memory runs out, the kernel kills a worker, never the server process
KEPT_BYTES = 256 * 1024  # of freed memory that malloc may keep: by default glibc learns to keep whole images
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h

_log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """What a caller wants of an image."""

    heatmap: bool = False
    preview: bool = False
    statistics: bool = False
    frame: int = 0  # of a file with several, from 1; 0 for none
    all_frames: bool = False  # a line for each


class Reply(NamedTuple):
    """A worker's answer to one image; its first reply, once it is ready, has its process id and its model."""

    status: int  # of HTTP
    body: bytes  # JSON: the prediction, or a problem where the status is not 200; for all frames, JSON lines
    decode_us: int = 0  # microseconds of decoding and preprocessing
    inference_us: int = 0  # microseconds of the network, calibration and heatmap

    def pack(self) -> bytes:
        """Return the reply as it is sent."""
        return REPLY_HEAD.pack(self.status, len(self.body), self.decode_us, self.inference_us) + self.body


class Loader:
    """The loader process, and this process's ends of the sockets to its workers.

    The first is forked, which saves starting another Python. A later one is a new program, because this
    process then runs an event loop. Raises OSError when the system lacks memory, processes or files.
    """

    def __init__(self, workers: int, *, fork: bool = False) -> None:
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as always:
            self.connections, theirs = [], []
            for _ in range(workers):
                ours, other = socket.socketpair()
                self.connections.append(on_failure.enter_context(ours))
                theirs.append(always.enter_context(other))
            if fork:
                self.pid = os.fork()
                if self.pid == 0:
                    _exit_after(lambda: _be_loader(theirs, forked_with=self.connections))
            else:
                for other in theirs:
                    other.set_inheritable(True)
                arguments = [sys.executable, "-m", __name__, *(str(each.fileno()) for each in theirs)]
                self.pid = os.posix_spawn(sys.executable, arguments, os.environ)
            on_failure.pop_all()

    def kill(self) -> None:
        """End the loader, if it has not ended by itself; its workers stay."""
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            # Raises if the loader was reaped: its id may be another process's now.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.kill(self.pid, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make workers children of this process once their loader has ended, as they are in a container."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def return_freed_memory() -> None:
    """Have this process, and those it forks, return freed memory to the system at once."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def main() -> None:
    """Run as a loader for the sockets given on the command line."""
    log.configure()
    return_freed_memory()
    _be_loader([socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:]])


def _be_loader(connections: list[socket.socket], *, forked_with: Sequence[socket.socket] = ()) -> None:
    """Load the model and fork a worker for each connection."""
    os.setpgid(0, 0)  # Ctrl-C is for the server process, which lets requests end
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server process ends its workers once it has drained
    for other in forked_with:
        other.close()
    try:
        predictor = _load(Settings.read(os.environ))
    except ModelError as error:
        _log.critical("unusable model", extra={"reason": str(error)})
        return
    gc.collect()
    gc.freeze()  # a collection in a worker would copy the pages that the workers share
    while connections:
        connection = connections.pop()
        if os.fork() == 0:
            for other in connections:
                other.close()
            _exit_after(lambda: _be_worker(predictor, connection))  # noqa: B023 - called at once
        connection.close()


def _load(settings: Settings) -> Predictor:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork copies no threads
    from .predictor import Predictor  # noqa: PLC0415 - the server process has no use for numpy and LiteRT

    with log.native_output_muted():
        return Predictor.load(settings.model_dir, **settings.release)


def _be_worker(predictor: Predictor, connection: socket.socket) -> None:
    """Predict images until the server process closes the connection."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    predictor.check()  # once more after the fork, in the process that will answer
    hello = {"pid": os.getpid(), "model": predictor.identity}
    connection.sendall(Reply(HTTPStatus.OK, json.dumps(hello).encode()).pack())
    with connection.makefile("rb") as requests:
        while len(head := requests.read(REQUEST_HEAD.size)) == REQUEST_HEAD.size:
            length, *wanted = REQUEST_HEAD.unpack(head)
            ask = Wanted(*wanted)
            reply = (answer_all if ask.all_frames else answer)(predictor, requests.read(length), ask)
            connection.sendall(reply.pack())


def _exit_after(run: Callable[[], None]) -> NoReturn:
    """Run a forked child's function and end the child, without the parent's clean-up."""
    code = 1
    try:
        run()
        code = 0
    except ConnectionError:  # the server process has gone
        code = 0
    except Exception:
        _log.exception("failed")
    finally:
        os._exit(code)


def answer_all(predictor: Predictor, image: bytes, wanted: Wanted) -> Reply:
    """Predict every frame of an image file, each with a line of its own; frames that fail do too."""
    from . import isolation  # noqa: PLC0415 - the server process has no use for it

    frames = 1

    def count(found: int) -> None:
        nonlocal frames
        frames = found

    read = partial(isolation.read, on_frames=count)
    replies: list[Reply] = []
    while len(replies) < frames:
        replies.append(answer(predictor, image, wanted._replace(frame=len(replies) + 1), read=read))
    lines = (b'{"frame": %d, %s\n' % (number, each.body[1:]) for number, each in enumerate(replies, start=1))
    spent = [sum(times) for times in zip(*(each[2:] for each in replies), strict=True)]
    return Reply(HTTPStatus.OK, b"".join(lines), *spent)


def answer(
    predictor: Predictor, image: bytes, wanted: Wanted, *, read: Callable[..., Image.Image] | None = None
) -> Reply:
    """Predict one image file, by default decoded in isolation; every failure becomes a reply."""
    from . import isolation  # noqa: PLC0415 - the server process has no use for it

    began = time.perf_counter_ns()
    decoded = None
    try:
        preprocessed = predictor.preprocess(image, frame=wanted.frame or None, read=read or isolation.read)
        decoded = time.perf_counter_ns()
        # NaN is not JSON: a network that returns it has failed, which is a 500.
        prediction = predictor.classify(
            preprocessed, heatmap=wanted.heatmap, preview=wanted.preview, statistics=wanted.statistics
        )
        status, body = HTTPStatus.OK, json.dumps(prediction, ensure_ascii=False, allow_nan=False).encode()
    except Problem as refusal:
        status, body = refusal.status, refusal.body()
    except Exception:
        _log.exception("failed")
        status, body = HTTPStatus.INTERNAL_SERVER_ERROR, failure().body()
    ended = time.perf_counter_ns()
    return Reply(
        status,
        body,
        decode_us=((decoded or ended) - began) // 1000,
        inference_us=(ended - decoded) // 1000 if decoded else 0,
    )


if __name__ == "__main__":
    main()
