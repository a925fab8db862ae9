"""Run by a test in a process of its own: a pool whose first worker dies while its nursery raises others.

A worker is its nursery's child until the nursery ends: who waits for it cannot be the front before that.
Prints what has become of it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from container import nursery, pool
from container.nursery import Nursery, prepare_process
from container.pool import Pool
from container.settings import Settings
from tests.container import processes

if TYPE_CHECKING:
    import socket

    from container.predictor import Predictor

BETWEEN_S = 1.0  # from one worker to the next: time for the first to be killed in

_raise = nursery._raise


def _raise_slowly(predictor: Predictor, front: socket.socket) -> None:
    _raise(predictor, front)
    time.sleep(BETWEEN_S)


async def _drill(settings: Settings) -> dict[str, object]:
    raising = Nursery.start(settings, workers=settings.workers)
    first = raising.next()
    assert first is not None
    workers = Pool(settings, raising, first)
    await workers.open()
    processes.kill(first.pid)
    deadline = time.monotonic() + processes.PATIENCE_S
    while workers.ready > 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    nursery._raise = _raise  # for the nursery after this one
    while workers.ready < settings.workers and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    await asyncio.sleep(2 * pool.RETRY_S)  # in which all that nobody waits for is to be reaped
    children = processes.children(os.getpid())
    outcome: dict[str, object] = {
        "lost": workers.lost.is_set(),
        "ready": workers.ready,
        "children": len(children),
        "zombies": sum(not processes.is_alive(child) for child in children),
    }
    workers.close()
    return outcome


if __name__ == "__main__":
    nursery._raise = _raise_slowly
    prepare_process()
    wanted = Settings.read({"MODEL_DIR": sys.argv[1], "SAGEMAKER_MODEL_SERVER_WORKERS": "2"})
    print(json.dumps(asyncio.run(_drill(wanted))))
