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
from typing import NoReturn

from PIL import Image

from . import dicom, imaging
from .problem import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, Problem
from .settings import ASYNCHRONOUS

# More than the worker's, until the header is accepted: a decoder copies the file.
HEADER_BYTES = 120 * 1024**2 + 2 * MAX_IMAGE_BYTES
HEADER_S = 5.0 if ASYNCHRONOUS else 0.7  # of processor time, likewise
BYTES_PER_PIXEL = 24  # more, that decoding may take; OpenJPEG takes most
LARGEST_S = 8.0  # for decoding `MAX_IMAGE_PIXELS`, beyond `HEADER_S`
_HEAD = struct.Struct("!HIII")  # status of HTTP, the image's width and height, and the file's frames

_log = logging.getLogger(__name__)


def read(data: bytes, *, frame: int | None = None) -> Image.Image:
    """Do as `imaging.read`, for a DICOM file in a child process."""
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
        head, body = answer.read(_HEAD.size), answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0:  # it crashed, or exceeded its memory or time; its words could quote the header
        _log.warning("decoder ended", extra={"code": code})
        raise dicom.broken("pixel data")
    status, width, height, frames = _HEAD.unpack(head)
    if status != HTTPStatus.OK:
        raise Problem(HTTPStatus(status), body.decode())
    image = Image.frombytes("L", (width, height), body)
    image.info[dicom.FRAMES] = frames
    return image


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
        try:
            image = dicom.read(data, frame=frame, on_header=_allow_pixels)
            head, body = _HEAD.pack(HTTPStatus.OK, *image.size, image.info[dicom.FRAMES]), image.tobytes()
        except Problem as problem:
            head, body = _HEAD.pack(problem.status, 0, 0, 0), problem.detail.encode()
        with os.fdopen(descriptor, "wb") as answer:
            answer.writelines([head, body])
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
