"""Run local AWS, an emulator for development and tests, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import get_args

from infra.emulator.process.child import end_with_parent
from infra.emulator.process.local_aws import PROGRAM, Engine, listen
from infra.local_aws import (
    ACCOUNT,
    DEFAULT_PORT,
    REGION,
    LocalAwsError,
    client_environment,
    local_environment,
)


def main() -> None:
    """Run the emulator with the command line's options."""
    options = _arguments()
    if options.print_environment:
        _print_environment(options)
        return
    # The server handles both signals while it runs; before and after that, they mean: stop in order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    scratch = options.scratch or Path(tempfile.mkdtemp(prefix="tumor-detector-aws-"))
    try:
        with _listener(options) as listener:
            _configure(options, port=listener.getsockname()[1], scratch=scratch)
            _run(listener, options, scratch=scratch)
    except LocalAwsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        return  # uvicorn has stopped, and raises the signal that stopped it once more
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.emulator", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=DEFAULT_PORT, help="port of 127.0.0.1 (default: %(default)s)")
    engine = "what endpoints run in (default: %(default)s, Docker where an engine answers)"
    add("--engine", choices=get_args(Engine), default="auto", help=engine)
    add("--region", default=REGION, help="(default: %(default)s)")
    add("--enforce-policies", action="store_true", help="check signatures and enforce IAM policies")
    hidden = "let CloudFormation take an update that SageMaker rolled back for complete"
    add("--hide-rollbacks", action="store_true", help=hidden)
    add(
        "--print-environment",
        action="store_true",
        help="start nothing: print the shell lines that point `aws`, `cdk` and SDKs at a running emulator",
    )
    # For `LocalAws`: the file descriptor of a listening socket, a directory, and the endpoints' program.
    add("--listener", type=int, help=argparse.SUPPRESS)
    add("--scratch", type=Path, help=argparse.SUPPRESS)
    add("--program", default=shlex.join(PROGRAM), help=argparse.SUPPRESS)
    return parser.parse_args()


def _print_environment(options: argparse.Namespace) -> None:
    if misleading := sorted(os.environ.keys() - local_environment(os.environ).keys()):
        print("unset", *misleading)
    environment = client_environment(port=options.port, region=options.region)
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}")


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.listener is None:
        return listen(options.port)
    end_with_parent()
    return socket.socket(fileno=options.listener)


def _configure(options: argparse.Namespace, *, port: int, scratch: Path) -> None:
    """Set what ministack, boto3 and the Lambdas' processes read from this process."""
    environment = local_environment(os.environ, port=port, region=options.region)
    environment.pop("PYTHONPATH", None)  # Lambdas inherit this environment, and must not import this tree
    os.environ.clear()
    os.environ.update(
        environment,
        MINISTACK_ACCOUNT_ID=ACCOUNT,  # of unsigned requests, as a browser's are
        MINISTACK_REGION=options.region,
        GATEWAY_PORT=str(port),
        IOT_MTLS_ENABLED="0",  # otherwise it listens for MQTT on every interface
        SFTP_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        STATE_DIR=str(scratch / "state"),
        TMPDIR=str(scratch),  # temporary files of Lambdas and uploads are removed with it
    )
    tempfile.tempdir = None  # read TMPDIR again
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    for verbose in ("botocore", "ministack"):
        logging.getLogger(verbose).setLevel(logging.WARNING)
    # Docker tries TLS first, and uvicorn warns each time.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def _run(listener: socket.socket, options: argparse.Namespace, *, scratch: Path) -> None:
    try:
        # ministack reads its settings when it is imported, so not before they are set.
        from infra.emulator.process import server  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "ministack":
            raise LocalAwsError(f"{error}; see infra/emulator/ministack_patches/") from error
        raise
    server.run(
        listener,
        engine=options.engine,
        program=shlex.split(options.program),
        scratch=scratch / "endpoints",
        enforce_policies=options.enforce_policies,
        hide_rollbacks=options.hide_rollbacks,
    )


if __name__ == "__main__":
    main()
