"""`python3 -m container serve`: the process that SageMaker starts; it also runs outside the image.

This process speaks HTTP. It starts a loader, which loads the model and forks the workers.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

from . import log, settings
from .settings import Settings, SettingsError
from .worker import Loader, adopt_orphans, return_freed_memory


def main() -> None:
    """Parse the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python3 -m container",
        description="Serve a brain-MRI classifier by SageMaker's contract: GET /ping, POST /invocations.",
        epilog=settings.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["serve"], help="load the model and serve it until SIGTERM")
    parser.parse_args()
    log.configure()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        given = Settings.read(os.environ)
    except SettingsError as error:
        logging.getLogger(__package__).critical("wrong setting", extra={"reason": str(error)})
        sys.exit(1)
    return_freed_memory()
    adopt_orphans()
    loader = Loader(given.workers, fork=True)
    try:
        from .server import run  # noqa: PLC0415 - takes a while, during which the loader loads the model

        served = asyncio.run(run(given, loader))
    finally:
        loader.kill()
    sys.exit(0 if served else 1)


def _stop(*_: object) -> NoReturn:
    """Exit cleanly: at once while the model loads; later uvicorn drains, then raises its signal again."""
    logging.getLogger(__package__).info("stopped")
    sys.exit(0)


if __name__ == "__main__":
    main()
