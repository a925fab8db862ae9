"""Train, promote, `cdk deploy` to the emulator and classify through the gateway, all on this machine."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from infra.local_aws import DEFAULT_PORT
from model.data.dataset import DataError
from scripts.cli import add_data_argument, command_parser
from scripts.commands import common
from scripts.console import DeliveryError, echo
from scripts.delivery import demo

if TYPE_CHECKING:
    import argparse


def main(arguments: list[str] | None = None) -> None:
    """Run the demo."""
    parser = command_parser("demo", __doc__)
    add_data_argument(parser)
    parser.add_argument("--once", action="store_true", help="stop after the classification")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port of the emulator (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print url and predictions as the last line")
    parser.add_argument(
        "--engine",
        choices=("auto", "docker", "process"),
        default="auto",
        help="how the endpoint runs: the image under Docker, or the same server as a process (default: auto)",
    )
    parser.add_argument("--verbose", action="store_true", help="show what training, the CDK and checks print")
    options = parser.parse_args(arguments)
    with common.cli_errors(DataError):
        _show(options)


def _show(options: argparse.Namespace) -> None:
    # SIGTERM cleans up as Ctrl-C does; a shell that starts this in the background has Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with demo.running(
        folders=options.data, port=options.port, engine_wanted=options.engine, verbose=options.verbose
    ) as up:
        for prediction in up.predictions:
            echo(f"  {_described(prediction)}")
        print(f"{up.url}/", flush=True)
        if options.json:
            print(json.dumps({"url": up.url, "predictions": up.predictions}), flush=True)
        if options.once and up.errors:
            raise DeliveryError(f"{len(up.errors)} of {len(up.predictions)} predictions are errors.")
        if not options.once:
            echo("Open the URL in a browser and drop an image on it. Ctrl-C stops everything.")
            demo.wait_for_stop()


def _described(prediction: dict[str, object]) -> str:
    if "label" not in prediction:
        return f"{prediction['image']}: error: {prediction.get('detail', prediction)}"
    truth = "YES" if prediction["truth"] else "NO"
    verdict = "as labelled" if prediction["label"] == truth else f"WRONG, it is labelled {truth}"
    return (
        f"{prediction['image']}: {prediction['label']} "
        f"(probability of a tumour {prediction['probability']:.2f}), {verdict}"
    )
