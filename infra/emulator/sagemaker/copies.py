"""Copies of requests to a shadow variant, which are sent in the background."""

from __future__ import annotations

import contextvars
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.emulator.validation.shapes import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("sagemaker")

SENDERS = 8
WAITING = 32  # bounds the memory that a slow shadow takes: each has its request's body


class Copies:
    """Sends a share of the requests to a shadow, and never lets a caller wait.

    A copy that finds `WAITING` others is dropped. What SageMaker does with those that a shadow is too slow
    for is **unverified on AWS**.
    """

    def __init__(self, share: float) -> None:
        self._share, self._credit = share, 0.0
        self._lock = threading.Lock()
        self._room = threading.Semaphore(SENDERS + WAITING)
        self._senders = ThreadPoolExecutor(SENDERS)

    def send(self, call: Callable[[], object]) -> None:
        """Have `call` send a copy, if this request is of the share; its outcome is nobody's."""
        with self._lock:
            self._credit += self._share
            if self._credit < 1:
                return
            self._credit -= 1
        if not self._room.acquire(blocking=False):
            log.warning("a copy for the shadow is dropped: %d are waiting", WAITING)
            return
        # In the request's context, which has the region of metrics and captured data.
        self._senders.submit(contextvars.copy_context().run, call).add_done_callback(self._sent)

    def close(self) -> None:
        """Send no more; those that were not sent yet are dropped."""
        self._senders.shutdown(wait=False, cancel_futures=True)

    def _sent(self, future: Future[object]) -> None:
        self._room.release()
        error = None if future.cancelled() else future.exception()
        if error and not isinstance(error, InvalidRequest):  # which the shadow's metrics count
            log.error("a copy for the shadow failed", exc_info=error)
