"""Detect manual changes to a deployed environment; exit with 1 if there are any."""

from __future__ import annotations

from scripts.commands import common
from scripts.delivery.drift import drift


def main(arguments: list[str] | None = None) -> None:
    """Compare what is deployed with its templates."""
    options = common.release_parser("drift", __doc__).parse_args(arguments)
    common.run(options, lambda settings: drift(settings, record=common.record_of(options)))
