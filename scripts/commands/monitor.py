"""Compare what an environment answers with what its models were trained on, and with people's labels.

Exit status: 0 without drift, 3 with drift, 4 where too few answers tell, 1 for errors. In a GitHub workflow,
drift is an output of the step under the environment's name: an error fails the step too, and is none.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from infra import config
from scripts.cli import command_parser
from scripts.commands import common
from scripts.console import echo, step
from scripts.delivery.aws import connect
from scripts.monitoring.monitor import conclude, monitor, put_metrics
from scripts.monitoring.output import STORE_ERRORS, log_run, table

_DRIFT, _TOO_FEW = 3, 4


def main(arguments: list[str] | None = None) -> int:
    """Print the report, log it to MLflow and CloudWatch, and return the exit status."""
    parser = command_parser("monitor", __doc__)
    common.add_environment(parser)
    common.add_since(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--accept-too-few",
        action="store_true",
        help=f"exit with 0 instead of {_TOO_FEW}, as the workflow does",
    )
    options = parser.parse_args(arguments)
    with common.cli_errors():
        settings = config.load(options.env)
        connect(settings)
        report = monitor(settings, since=datetime.now(UTC) - options.since)
        print(json.dumps(report.document(), indent=2) if options.json else table(report), flush=True)
        put_metrics(report, settings.endpoint_name)
        try:
            with step("logging to MLflow"):
                log_run(report)
        except STORE_ERRORS as error:
            echo(f"  not logged: {error}")
        status = conclude(report)
        if status == _DRIFT and (outputs := os.environ.get("GITHUB_OUTPUT")):
            with Path(outputs).open("a", encoding="utf-8") as file:
                file.write(f"{options.env}=drift\n")
    return 0 if options.accept_too_few and status == _TOO_FEW else status
