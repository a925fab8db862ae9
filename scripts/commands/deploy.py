"""Deploy an environment: registry stack, released artifact, the other stacks, then the smoke test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scripts.commands import common
from scripts.console import step
from scripts.delivery.deployment import deploy
from scripts.diagnosis.account import preflight
from scripts.diagnosis.finding import refuse

if TYPE_CHECKING:
    import argparse

    from infra.config import Settings


def main(arguments: list[str] | None = None) -> None:
    """Deploy the environment, unless its account has a fault that scripts/doctor finds."""
    parser = common.release_parser("deploy", __doc__)
    parser.add_argument(
        "--skip-checks", action="store_true", help="deploy without the account's checks of scripts/doctor"
    )
    options = parser.parse_args(arguments)
    common.run(options, partial(_deploy, options))


def _deploy(options: argparse.Namespace, settings: Settings) -> None:
    if not (settings.local or options.skip_checks):
        with step("checking the account"):
            findings = preflight(settings)
        refuse(findings)
    deploy(settings, record=common.record_of(options))
