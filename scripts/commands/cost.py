"""Estimate an environment's monthly cost from its templates; AWS is asked with `--prices aws` alone."""

from __future__ import annotations

import dataclasses
import json

from infra import config
from scripts.commands import common
from scripts.pricing.estimate import as_json, estimate, table
from scripts.pricing.rules import Traffic


def main(arguments: list[str] | None = None) -> None:
    """Print the estimate."""
    parser = common.release_parser("cost", __doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, with every price and its source")
    parser.add_argument(
        "--prices",
        choices=("table", "aws"),
        default="table",
        help="the dated table, or AWS's Price List API for the region, kept a week (default: %(default)s)",
    )
    fields = dataclasses.fields(Traffic)
    for field in fields:
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help="assumed number (default: %(default)s)",
        )
    options = parser.parse_args(arguments)
    traffic = Traffic(**{field.name: getattr(options, field.name) for field in fields})
    with common.cli_errors():
        found = estimate(
            config.load(options.env),
            record=common.record_of(options),
            traffic=traffic,
            from_aws=options.prices == "aws",
        )
        print(json.dumps(as_json(found), indent=2) if options.json else "\n".join(table(found)))
