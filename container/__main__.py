"""`python3 -m container serve`: the process that SageMaker starts, in the image and out of it.

This process, the front, speaks HTTP. It forks a nursery, which loads the model and forks the workers.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import NoReturn

from . import log, settings
from .metadata import ModelError
from .nursery import Nursery, prepare_process
from .settings import Settings, SettingsError


def main() -> None:
    """Parse the command line and do what it says."""
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
        wanted = Settings.read(os.environ)
    except SettingsError as error:
        _leave("wrong setting", str(error))
    prepare_process()
    nursery = Nursery.start(wanted, workers=wanted.workers)
    serve(wanted, nursery)


def serve(wanted: Settings, nursery: Nursery) -> None:
    """Wait for the first worker, then listen: no answer comes from a model that has not answered before."""
    from . import front  # noqa: PLC0415 - uvicorn, while the nursery loads the model on another core

    try:
        first = nursery.next()
    except ModelError as error:
        _leave("unusable model", str(error))
    if first is None:
        _leave("failed", "the process that loads the model has ended; its log says why")
    try:
        served = front.run(wanted, nursery, first)
    except SettingsError as error:
        _leave("wrong setting", str(error))
    if not served:
        sys.exit(1)


def _stop(*_: object) -> NoReturn:
    """End in order: while loading at once, later when uvicorn, having drained, raises its signal again."""
    logging.getLogger(__package__).info("stopped")
    sys.exit(0)


def _leave(event: str, reason: str) -> NoReturn:
    logging.getLogger(__package__).critical(event, extra={"reason": reason})
    sys.exit(1)


if __name__ == "__main__":
    main()
