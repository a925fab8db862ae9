"""A worker process: takes one image after the other from the front and judges it.

It may crash, hang or be killed for the memory that an image takes: that costs its one request an answer, and
nobody else anything.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from .problem import Problem
from .wire import READY, REQUEST_HEAD, Reply

if TYPE_CHECKING:
    import socket

    from .predictor import Predictor

OOM_SCORE = "500"  # of 1000: where memory runs out, the kernel takes a worker, never the front

_log = logging.getLogger(__name__)


def work(predictor: Predictor, front: socket.socket) -> None:
    """Judge images until the front closes its end."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    predictor.check()  # after the fork: what this process answers with has answered here
    front.sendall(READY)
    with front.makefile("rb") as requests:
        while len(head := requests.read(REQUEST_HEAD.size)) == REQUEST_HEAD.size:
            length, heatmap = REQUEST_HEAD.unpack(head)
            front.sendall(answer(predictor, requests.read(length), heatmap=heatmap).pack())


def answer(predictor: Predictor, image: bytes, *, heatmap: bool) -> Reply:
    """Judge one image, whatever happens.

    Parameters
    ----------
    image
        The bytes of a file.
    heatmap
        Whether to add the heatmap.
    """
    began = time.perf_counter_ns()
    decoded = None
    try:
        seen = predictor.see(image)
        decoded = time.perf_counter_ns()
        # NaN is no JSON: a network that gives it has failed, and says so as a 500.
        content = json.dumps(predictor.judge(seen, heatmap=heatmap), ensure_ascii=False, allow_nan=False)
        status, body = HTTPStatus.OK, content.encode()
    except Problem as refusal:
        status, body = refusal.status, refusal.body()
    except Exception:
        _log.exception("failed")
        failure = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed here; its log says why.")
        status, body = failure.status, failure.body()
    ended = time.perf_counter_ns()
    return Reply(
        status,
        body,
        decode_us=((decoded or ended) - began) // 1000,
        inference_us=(ended - decoded) // 1000 if decoded else 0,
    )
