"""`python -m infra.local`: AWS on this laptop, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import get_args

from infra.local.address import ACCOUNT, DEFAULT_PORT, REGION, LocalAwsError, claim, client_environment
from infra.local.laptop import PROGRAM, Engine
from infra.local.leftovers import remove_files


def main() -> None:
    """Run the emulator with the command line's options."""
    options = _arguments()
    if options.print_environment:
        _print_environment(options)
        return
    scratch = options.scratch or Path(tempfile.mkdtemp(prefix="tumor-detector-aws-"))
    try:
        listener = claim(options.port)
        _prepare(options, scratch=scratch)
        # ministack reads its settings when it is imported: not before they are prepared.
        from infra.local import emulator  # noqa: PLC0415

        emulator.run(
            listener,
            engine=options.engine,
            program=shlex.split(options.program),
            scratch=scratch / "endpoints",
            enforce_policies=options.enforce_policies,
        )
    except LocalAwsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        return  # a stop, by Ctrl-C or SIGTERM: uvicorn raises the signal that stopped it once more
    finally:
        remove_files(scratch)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of 127.0.0.1 (default: %(default)s)")
    parser.add_argument(
        "--engine",
        choices=get_args(Engine),
        default="auto",
        help="what endpoints run in (default: %(default)s: Docker where an engine answers)",
    )
    parser.add_argument("--account", default=ACCOUNT, help="twelve digits (default: %(default)s)")
    parser.add_argument("--region", default=REGION, help="(default: %(default)s)")
    parser.add_argument(
        "--enforce-policies",
        action="store_true",
        help="check signatures, and let roles do what their policies allow and no more",
    )
    parser.add_argument(
        "--print-environment",
        action="store_true",
        help="start nothing: print the shell lines that point `aws`, `cdk` and SDKs at a running one",
    )
    # What `LocalAws` needs and a person does not.
    parser.add_argument("--program", default=shlex.join(PROGRAM), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until-input-ends", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _print_environment(options: argparse.Namespace) -> None:
    environment = client_environment(port=options.port, account=options.account, region=options.region)
    print("unset AWS_PROFILE AWS_DEFAULT_PROFILE")  # a profile's credentials would go before these
    for key, value in environment.items():
        print(f"export {key}={shlex.quote(value)}")


def _prepare(options: argparse.Namespace, *, scratch: Path) -> None:
    """Set what ministack, boto3 and the Lambdas' processes read from this process."""
    os.environ.update(
        client_environment(port=options.port, account=options.account, region=options.region),
        MINISTACK_ACCOUNT_ID=options.account,  # of unsigned requests, which a browser's are
        MINISTACK_REGION=options.region,
        GATEWAY_PORT=str(options.port),
        IOT_MTLS_ENABLED="0",  # else it listens for MQTT on every interface
        SFTP_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        STATE_DIR=str(scratch / "state"),
        TMPDIR=str(scratch),  # what is left of Lambdas and uploads goes with it
    )
    # A Lambda's process starts with this environment: it must find neither this repository nor an account.
    for variable in ("PYTHONPATH", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        os.environ.pop(variable, None)
    tempfile.tempdir = None  # read TMPDIR again
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    for chatty in ("botocore", "ministack"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(
        logging.ERROR
    )  # Docker tries TLS first, which uvicorn warns of each time
    # The server takes both signals over while it runs; before and after that, they mean: stop in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.until_input_ends:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()


def _stop_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
