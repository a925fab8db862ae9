"""`python3 -m container serve`: the process that SageMaker starts, in the image and out of it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import uvicorn

from . import log
from .metadata import ModelError
from .predictor import Predictor
from .server import Application

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAIN_S = 25  # SageMaker kills 30 s after SIGTERM
KEEP_ALIVE_S = 75  # longer than callers keep idle connections, so that it is never us who closes one in use

_log = logging.getLogger("container")

_ENVIRONMENT = """\
environment:
  MODEL_DIR               the model's folder, read only (default: /opt/ml/model)
  BIND_HOST               the address to listen on (default: 0.0.0.0)
  SAGEMAKER_BIND_TO_PORT  the port to listen on (default: 8080; 0: any free one, named in the log)
  MODEL_NAME, MODEL_VERSION, MODEL_SHA256
                          what the release calls the model; part of every answer
"""


@dataclass(frozen=True)
class Settings:
    """What the environment decides."""

    model_dir: Path
    host: str
    port: int
    name: str | None
    version: str | None
    sha256: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings, or leave with a line that says which one is wrong."""
        port = environment.get("SAGEMAKER_BIND_TO_PORT", "8080")
        if not (port.isascii() and port.isdigit() and int(port) < 2**16):
            _leave("wrong setting", f"SAGEMAKER_BIND_TO_PORT is {port!r}, no port from 0 to 65535")
        return cls(
            model_dir=Path(environment.get("MODEL_DIR", "/opt/ml/model")),
            host=environment.get("BIND_HOST", "0.0.0.0"),  # noqa: S104 - a container's only way to be reached
            port=int(port),
            name=environment.get("MODEL_NAME"),
            version=environment.get("MODEL_VERSION"),
            sha256=environment.get("MODEL_SHA256"),
        )


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(
        prog="python3 -m container",
        description="Serve a brain-MRI classifier by SageMaker's contract: GET /ping, POST /invocations.",
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["serve"], help="load the model and serve it until SIGTERM")
    parser.parse_args()
    log.configure()
    serve(Settings.read(os.environ))


def serve(settings: Settings) -> None:
    """Load the model, then listen: whoever gets an answer gets it from a model that has answered before."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        with log.native_output_muted():
            predictor = Predictor.load(
                settings.model_dir, name=settings.name, version=settings.version, sha256=settings.sha256
            )
    except ModelError as error:
        _leave("unusable model", str(error))
    config = uvicorn.Config(
        Application(predictor),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    listener = config.bind_socket()
    listener.listen(config.backlog)
    host, port = listener.getsockname()[:2]
    _log.info("ready", extra={"host": host, "port": port, "model": predictor.identity})
    uvicorn.Server(config).run(sockets=[listener])


def _stop(*_: object) -> NoReturn:
    """End in order: while loading at once, later when uvicorn, having drained, raises its signal again."""
    _log.info("stopped")
    sys.exit(0)


def _leave(event: str, reason: str) -> NoReturn:
    _log.critical(event, extra={"reason": reason})
    sys.exit(1)


if __name__ == "__main__":
    main()
