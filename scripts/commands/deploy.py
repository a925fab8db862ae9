"""Deploy an environment: registry stack, released artifact, the other stacks, then the smoke test."""

from __future__ import annotations

from scripts.commands import common
from scripts.delivery.deployment import deploy


def main(arguments: list[str] | None = None) -> None:
    """Deploy the environment."""
    options = common.release_parser("deploy", __doc__).parse_args(arguments)
    common.run(options, lambda settings: deploy(settings, record=common.record_of(options)))
