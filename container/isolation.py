"""Decodes a DICOM file in a process of its own, with bounded memory and time.

Native decoders of files from outside may crash: that ends this process and costs one image, no worker.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import struct
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from PIL import Image

from . import dicom, imaging
from .problem import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, Problem
from .settings import ASYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Callable

# More than the worker's, until the header is accepted: a decoder copies the file.
HEADER_BYTES = 120 * 1024**2 + 2 * MAX_IMAGE_BYTES
HEADER_S = 5.0 if ASYNCHRONOUS else 0.7  # of processor time, likewise
BYTES_PER_PIXEL = 24  # more, that decoding may take; OpenJPEG takes most
LARGEST_S = 8.0  # for decoding `MAX_IMAGE_PIXELS`, beyond `HEADER_S`
_FRAMES = struct.Struct("!I")  # of the file, or 0; sent before a decoder may crash
_HEAD = struct.Struct("!HII")  # status of HTTP, and the image's width and height

_log = logging.getLogger(__name__)


def read(
    data: bytes, *, frame: int | None = None, on_frames: Callable[[int], None] = lambda _: None
) -> Image.Image:
    """Do as `imaging.read`, for a DICOM file in a child process.

    `on_frames` is called with the file's number of frames, if its header was accepted; then even where the
    frame cannot be decoded.
    """
    if not imaging.is_dicom(data):
        return imaging.read(data, frame=frame)
    with suppress(ImportError):  # once, for all children of this process
        import dicomsdl  # noqa: F401, PLC0415
    from pydicom import pixels  # noqa: F401, PLC0415

    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as answer:
        try:
            child = os.fork()  # raises OSError without memory or processes
            if child == 0:
                _answer(theirs, data, frame)
        finally:
            os.close(theirs)
        count, head, body = answer.read(_FRAMES.size), answer.read(_HEAD.size), answer.read()
    if len(count) == _FRAMES.size and any(count):
        on_frames(*_FRAMES.unpack(count))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0:  # it crashed, or exceeded its memory or time; its words could quote the header
        _log.warning("decoder ended", extra={"code": code})
        raise dicom.broken("pixel data")
    status, width, height = _HEAD.unpack(head)
    if status != HTTPStatus.OK:
        raise Problem(HTTPStatus(status), body.decode())
    return Image.frombytes("L", (width, height), body)


def _answer(descriptor: int, data: bytes, frame: int | None) -> NoReturn:
    """Write the image, or the problem, and end."""
    code = 1
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        for output in (1, 2):  # decoders print what they find in a file
            os.dup2(silence, output)
        for number in (signal.SIGPROF, signal.SIGALRM):  # they end this process, whatever its parent does
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no image on the disk
        _allow(HEADER_BYTES, HEADER_S)
        with os.fdopen(descriptor, "wb") as answer:
            sent = 0

            def accepted(pixels: int, frames: int) -> None:
                nonlocal sent
                sent = answer.write(_FRAMES.pack(frames))
                answer.flush()
                _allow_pixels(pixels)

            try:
                image = dicom.read(data, frame=frame, on_header=accepted)
                head, body = _HEAD.pack(HTTPStatus.OK, *image.size), image.tobytes()
            except Problem as problem:
                head, body = _HEAD.pack(problem.status, 0, 0), problem.detail.encode()
            answer.writelines([b"" if sent else _FRAMES.pack(0), head, body])
        code = 0
    finally:
        os._exit(code)


def _allow(more_bytes: int, seconds: float) -> None:
    """Limit this process to so much more memory and time of the processor, and twice that on a busy one."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds)


def _allow_pixels(count: int) -> None:
    _allow(HEADER_BYTES + BYTES_PER_PIXEL * count, HEADER_S + LARGEST_S * count / MAX_IMAGE_PIXELS)
