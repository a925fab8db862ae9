"""Check that a deployed environment answers and serves the model of its release."""

from __future__ import annotations

from scripts.commands import common
from scripts.delivery.smoke import smoke


def main(arguments: list[str] | None = None) -> None:
    """Run the smoke test."""
    options = common.release_parser("smoke", __doc__).parse_args(arguments)
    common.run(options, lambda settings: smoke(settings, record=common.record_of(options)))
