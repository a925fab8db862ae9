"""Train again with what was served and labelled, and propose the result as a branch, or make none.

Further options are those of scripts/train, such as --data, --kaggle, --quick, --resume and --on sagemaker.
With [training] in the settings it trains in the environment's pipeline, unless there is --on.
The exit status is 3 where the new version fails a gate or is no gain.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scripts.commands import common, train
from scripts.commands.model_errors import MODEL_ERRORS
from scripts.commands.promote import add_force
from scripts.console import echo
from scripts.retraining.retraining import NotProposedError, Options, retrain

if TYPE_CHECKING:
    from infra.config import Settings


def main(arguments: list[str] | None = None) -> None:
    """Retrain an environment's model."""
    parser = common.release_parser("retrain", __doc__)
    add_force(parser)
    parser.add_argument(
        "--challenger-version", metavar="V", help="propose this registered version, without training"
    )
    parser.add_argument(
        "--accept-none",
        action="store_true",
        help=f"exit with 0 instead of {NotProposedError.status}, as the workflow does",
    )
    parsed, training = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    if train.parse(training).no_wait:
        parser.error("--no-wait: a retraining compares what its training made, so it waits")

    def action(settings: Settings) -> None:
        chosen = Options(
            record=common.record_of(parsed),
            training=tuple(training),
            version=parsed.challenger_version,
            forced=parsed.force,
        )
        try:
            retrain(settings, chosen)
        except NotProposedError as error:
            if not parsed.accept_none:
                raise
            echo(str(error))

    common.run(parsed, action, expected=MODEL_ERRORS)
