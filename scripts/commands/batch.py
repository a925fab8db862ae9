"""Classify many images at once, by SageMaker's Batch Transform of the model that an environment serves.

INPUT and OUTPUT are each a folder or s3://BUCKET/PREFIX. Every file or object below INPUT is an image. OUTPUT
gets one file, results.jsonl, .csv or .parquet: each image's key, and its answer or the problem for which it
was refused. Ctrl-C stops the jobs. What has an answer is kept; --resume classifies the rest.
"""

from __future__ import annotations

import argparse
import json

from pydantic import TypeAdapter, ValidationError

from infra import config
from infra.config.hosting import InstanceType
from scripts.cli import command_parser, whole
from scripts.commands import common
from scripts.delivery.aws import connect
from scripts.transform.batch import MOST_IMAGES_PER_JOB, MOST_INSTANCES, batch, conclude
from scripts.transform.results import FORMATS
from scripts.transform.run import DEFAULT_TYPE


def main(arguments: list[str] | None = None) -> None:
    """Classify, and print what became of the images; it is an error if one has no answer."""
    options = parse(arguments)
    with common.cli_errors():
        settings = config.load(options.env)
        connect(settings)
        report = batch(settings, options)
        line = "{results}: {answered:,} of {images:,} images answered, {refused:,} of them refused"
        shown = json.dumps(report, ensure_ascii=False) if options.json else line.format(**report)
        print(shown, flush=True)
        conclude(report)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser("batch", __doc__)
    add, by_count = parser.add_argument, "(default: by the number of images, at most {:,})"
    add("input", metavar="INPUT", help="folder, or s3://BUCKET/PREFIX")
    add("output", metavar="OUTPUT", help="folder, or s3://BUCKET/PREFIX in the environment's batch bucket")
    common.add_environment(parser)
    add("--resume", action="store_true", help="continue an earlier call with what has no answer yet")
    add("--format", choices=FORMATS, default=FORMATS[0], help="of the results (default: %(default)s)")
    add("--instance-type", type=_instance_type, default=DEFAULT_TYPE, help="(default: %(default)s)")
    many = f"jobs at a time, of one instance each {by_count.format(MOST_INSTANCES)}"
    add("--instances", type=whole(1), metavar="N", help=many)
    add("--images-per-job", type=whole(1), metavar="N", help=by_count.format(MOST_IMAGES_PER_JOB))
    add("--json", action="store_true", help="print one JSON document")
    add("--leave", action="store_true", help="let the jobs run on after Ctrl-C")
    return parser.parse_args(arguments)


def _instance_type(text: str) -> str:
    try:
        return TypeAdapter(InstanceType).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
