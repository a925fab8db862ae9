"""Check this machine, and with --env an account, for what would make a command fail; nothing is changed.

Exit status: 0 without a fault, 1 with one, 2 for wrong arguments.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from infra.local_aws import DEFAULT_PORT
from scripts import _setup
from scripts.cli import command_parser
from scripts.diagnosis import machine
from scripts.diagnosis.finding import Finding, examine


def main(arguments: list[str] | None = None) -> int:
    """Print what was found, and return the exit status."""
    parser = command_parser("doctor", __doc__)
    parser.add_argument("--env", help="also check the account of this environment of infra/environments/")
    parser.add_argument(
        "--json", action="store_true", help="print JSON: scripts/diagnosis/report.schema.json"
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port of the emulator (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    on_aws = options.env not in (None, "local")
    findings = examine(machine.checks(port=options.port, on_aws=on_aws))
    if on_aws and _setup.is_current("deploy"):
        findings += _account(options.env)
    faults = sum(each.status == "fault" for each in findings)
    if options.json:  # in the form of report.schema.json
        found = [asdict(each) for each in findings]
        print(json.dumps({"environment": options.env, "faults": faults, "findings": found}, indent=2))
    else:
        print(*findings, f"faults: {faults}", sep="\n")
    return 1 if faults else 0


def _account(environment: str) -> list[Finding]:
    from infra import config  # noqa: PLC0415 - what it needs may not be installed
    from scripts.diagnosis.account import examine_account  # noqa: PLC0415

    try:
        settings = config.load(environment)
    except config.SettingsError as error:
        wrong = error
        return examine({"settings": lambda: iter([("settings-wrong", {"words": wrong})])})
    return [] if settings.local else examine_account(settings)
