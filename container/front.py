"""The front process: uvicorn, from the first worker to SIGTERM."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import uvicorn

from .connections import HEAD_S, Connection, allow_files
from .pool import Pool
from .server import Application

if TYPE_CHECKING:
    from .nursery import Newborn, Nursery
    from .settings import Settings

DRAIN_S = 25  # SageMaker kills 30 s after SIGTERM

_log = logging.getLogger("container")


def run(settings: Settings, nursery: Nursery, first: Newborn) -> bool:
    """Serve until told to stop; False if that was because there are no more workers."""
    pool = Pool(settings, nursery, first)
    config = uvicorn.Config(
        Application(pool, workers=settings.workers),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Connection,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=HEAD_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    allow_files()
    listener = config.bind_socket()
    listener.listen(config.backlog)
    host, port = listener.getsockname()[:2]
    _log.info("ready", extra={"host": host, "port": port, "workers": settings.workers, "model": first.model})

    async def serve() -> None:
        server = uvicorn.Server(config)

        async def leave_without_workers() -> None:
            await pool.lost.wait()
            server.should_exit = True

        leaving = asyncio.create_task(leave_without_workers())
        await pool.open()
        try:
            await server.serve(sockets=[listener])
        finally:
            leaving.cancel()
            pool.close()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())
    return not pool.lost.is_set()
