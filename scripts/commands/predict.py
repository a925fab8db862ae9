"""Classify images through a gateway: each gets a prediction, or the reason why there is none.

With --labels, tell it what earlier images show.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from infra import config
from scripts.api.gateway import ACCESS_TOKEN, API_KEY, caller_client, deployed_gateway
from scripts.api.labels import read_labels, send_labels
from scripts.api.output import FORMATS, Outcome, as_series
from scripts.api.predict import classify_images, find_images
from scripts.api.series import MAX_FRAMES, Image, images_of
from scripts.cli import command_parser, whole
from scripts.client import Client, ClientError
from scripts.commands import common
from scripts.console import echo
from scripts.delivery.aws import connect

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

MAX_PARALLEL = 64
EPILOG = f"""\
A refusal (422: no brain MRI) is an answer, not a failure. Exit status: 0 if every image was answered, 1 if
any failed, 2 for invalid arguments, 130 after Ctrl-C, which prints the answers so far. When the gateway
throttles, nothing is sent before its Retry-After has passed.

DICOM files are sent without their headers and, as are NIfTI volumes and multi-frame files, slice by slice in
the order of their series. The model judges single slices.

Credentials come from the environment variables {API_KEY} or {ACCESS_TOKEN}, or are the shell's AWS
credentials, as the deployment requires; with --env the API key is read from AWS.

--labels sends what is known about earlier images instead, by the request_id that CSV and JSON name: a CSV
file with the columns request_id, label (YES or NO) and, if wanted, note. Rows without a label are left out,
so a column label may be added to the CSV of this command. To send a file again changes nothing.

In CSV, text that a spreadsheet would evaluate as a formula is prefixed with '. JSON is unchanged."""


def main(arguments: list[str] | None = None) -> int:
    """Classify the images and print the answers in their order."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in ("heatmap", "preview"):
        if getattr(options, name) and options.format != "json":
            parser.error(f"--{name} needs --format json: no other format can hold it")
    if bool(options.images) == bool(options.labels):
        parser.error("name images, or a file of --labels")
    with common.cli_errors(ClientError):
        return _label(options) if options.labels else _predict(options)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("predict", __doc__, epilog=EPILOG)
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="a file, or a folder of them")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="send labels instead of images")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="the stage's URL, as a deploy prints it")
    where.add_argument("--env", default="local", help="the environment to use (default: %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="(default: %(default)s)")
    parser.add_argument(
        "--parallel",
        type=whole(1, MAX_PARALLEL),
        default=4,
        metavar="N",
        help="images at a time (default: %(default)s)",
    )
    parser.add_argument("--heatmap", action="store_true", help="add the heatmaps")
    parser.add_argument("--preview", action="store_true", help="add what the network saw")
    parser.add_argument("--keep-header", action="store_true", help="send DICOM files as they are")
    frame = "of DICOM files (default: all), or volume of NIfTI files"
    parser.add_argument("--frame", type=whole(1, MAX_FRAMES), metavar="N", help=frame)
    axes = "of NIfTI volumes: 0 sagittal, 1 coronal, 2 axial (the default)"
    parser.add_argument("--axis", type=int, choices=range(3), default=2, help=axes)
    return parser


def _predict(options: argparse.Namespace) -> int:
    images = images_of(find_images(options.images), frame=options.frame, axis=options.axis)
    outcomes: dict[Image, Outcome] = {}
    flags = {name: getattr(options, name) for name in ("heatmap", "preview", "keep_header")}
    status = os.EX_OK
    with closing(_client(options)) as client, tqdm(total=len(images), unit=" images", disable=None) as bar:
        _announce(client)
        if any((image.slice or 0) > 1 for image in images):
            echo("The model judges single slices: a series as a whole has no answer.")
        began = time.monotonic()
        try:
            with closing(classify_images(client, images, parallel=options.parallel, **flags)) as answers:
                for outcome in answers:
                    outcomes[outcome.image] = outcome
                    bar.update()
        except KeyboardInterrupt:
            status = 130
        seconds = time.monotonic() - began
    found = [outcomes[image] for image in images if image in outcomes]
    sys.stdout.write(FORMATS[options.format](found))
    if options.format != "table" and (series := as_series(found)):
        echo(series.rstrip())
    _summarise(found, of=len(images), seconds=seconds)
    return status or int(any(outcome.answer == "failed" for outcome in found))


def _label(options: argparse.Namespace) -> int:
    """Send the labels, and print a line for each with what became of it."""
    rows, sent = read_labels(options.labels), 0
    with closing(_client(options)) as client:
        for row, error in send_labels(client, rows, parallel=options.parallel):
            name = "".join(filter(str.isprintable, f"{row.request_id} {row.label}"))
            sys.stdout.write(f"line {row.line}: {name}: {error or 'sent'}\n")
            sent += not error
    echo(f"{len(rows)} labels: {sent} sent, {len(rows) - sent} not")
    return int(sent < len(rows))


def _client(options: argparse.Namespace) -> Client:
    if options.url:
        return caller_client(options.url)
    settings = config.load(options.env)
    connect(settings)
    url, api_key = deployed_gateway(settings)
    return caller_client(url, api_key=api_key)


def _announce(client: Client) -> None:
    """Print which model serves and what its answers are worth; wait for one that is not ready."""
    model = client.health().model
    phantom = " It was trained on phantoms: its answers mean nothing." if model.kind == "phantom" else ""
    one = " It was trained on images of one source." if "several_sources" in model.gates_failed else ""
    echo(f"{model.name} {model.version} at {client.url}. Not a medical device.{phantom}{one}")


def _summarise(outcomes: Sequence[Outcome], *, of: int, seconds: float) -> None:
    """Print the number of images with each answer."""
    counts = Counter(outcome.answer for outcome in outcomes)
    counted = ", ".join(
        f"{counts[answer]} {answer}" for answer in ("YES", "NO", "refused", "failed") if counts[answer]
    )
    unsent = f", {of - len(outcomes)} not sent" if len(outcomes) < of else ""
    echo(f"{of} images: {counted or 'none answered'}{unsent}, in {seconds:.1f} s")
