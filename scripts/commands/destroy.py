"""Delete an environment, after listing what goes and what stays; protected ones need --lift-protection."""

from __future__ import annotations

from scripts.cli import command_parser
from scripts.commands import common
from scripts.delivery.teardown import destroy


def main(arguments: list[str] | None = None) -> None:
    """Delete the environment."""
    parser = command_parser("destroy", __doc__)
    common.add_environment(parser)
    parser.add_argument(
        "--yes",
        action="store_true",
        help="do not ask; only where nothing is protected and no data is retained",
    )
    parser.add_argument(
        "--lift-protection",
        action="store_true",
        help="delete a protected environment too; resources that it retains stay",
    )
    options = parser.parse_args(arguments)
    common.run(
        options, lambda settings: destroy(settings, yes=options.yes, lift_protection=options.lift_protection)
    )
