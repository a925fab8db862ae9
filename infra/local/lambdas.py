"""Mends how ministack updates a Lambda: an invocation that has begun ends with the code it began with.

ministack kills a function's workers at once when its code or configuration changes, and so answers whoever is
being served with an error. AWS lets them finish.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ministack.core import lambda_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Kill = Callable[[Sequence[lambda_runtime.Worker]], None]

_LONGEST_INVOCATION_S = 900  # docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_LOOK_EVERY_S = 0.05


def mend() -> None:
    """Have ministack end a worker only when it is idle."""
    lambda_runtime.kill_workers = _when_idle(lambda_runtime.kill_workers)


def _when_idle(kill: Kill) -> Kill:
    def kill_when_idle(workers: Sequence[lambda_runtime.Worker]) -> None:
        kill([worker for worker in workers if not worker.in_use])
        busy = [worker for worker in workers if worker.in_use]
        if busy:
            threading.Thread(target=_wait_and_kill, args=(busy, kill), daemon=True).start()

    return kill_when_idle


def _wait_and_kill(workers: Sequence[lambda_runtime.Worker], kill: Kill) -> None:
    until = time.monotonic() + _LONGEST_INVOCATION_S
    while any(worker.in_use for worker in workers) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
    kill(workers)
