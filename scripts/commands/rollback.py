"""Restore an environment's previous release and deploy it; run again, it returns to the later release."""

from __future__ import annotations

from scripts.commands import common
from scripts.delivery.deployment import rollback


def main(arguments: list[str] | None = None) -> None:
    """Roll back."""
    options = common.release_parser("rollback", __doc__).parse_args(arguments)
    common.run(options, lambda settings: rollback(settings, record=common.record_of(options)))
