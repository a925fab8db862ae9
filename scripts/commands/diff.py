"""Synthesize environments and print in Markdown how they differ from another commit's, without AWS access."""

from __future__ import annotations

import signal

from infra import config
from scripts.cli import command_parser
from scripts.commands import common
from scripts.delivery.difference import differences, markdown


def main(arguments: list[str] | None = None) -> None:
    """Print the differences."""
    parser = command_parser("diff", __doc__)
    parser.add_argument("--against", required=True, metavar="COMMIT", help="a commit, branch or tag")
    parser.add_argument(
        "--env", action="append", metavar="ENV", help="an environment (may be repeated; default: all)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the copy of the other commit is removed
    with common.cli_errors():
        found = differences(options.env or config.known_environments(), against=options.against)
        print(markdown(found, against=options.against), end="")
