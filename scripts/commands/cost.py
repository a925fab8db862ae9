"""Estimate an environment's monthly cost from its templates and a table of prices, without AWS access."""

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
        found = estimate(config.load(options.env), record=common.record_of(options), traffic=traffic)
        print(json.dumps(as_json(found), indent=2) if options.json else "\n".join(table(found)))
