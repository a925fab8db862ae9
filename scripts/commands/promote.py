"""Make the registry's champion an environment's release: export, upload, then write the release record."""

from __future__ import annotations

import argparse

from infra.release import MAX_REASON, record_path
from model.data.dataset import MODEL_NAME
from model.release import registry
from scripts.commands import common
from scripts.commands.model_errors import MODEL_ERRORS
from scripts.delivery.promotion import promote


def main(arguments: list[str] | None = None) -> None:
    """Promote a model version."""
    parser = common.release_parser("promote", __doc__)
    parser.add_argument(
        "--model",
        default=MODEL_NAME,
        help="registered model (default: %(default)s; a model trained on phantoms is %(default)s-phantom)",
    )
    parser.add_argument("--version", help="a version other than the champion")
    add_force(parser)
    options = parser.parse_args(arguments)
    common.run(
        options,
        lambda settings: promote(
            settings,
            registry.find_version(options.model, version=options.version),
            record=options.release or record_path(options.env),
            forced=options.force,
        ),
        expected=MODEL_ERRORS,
    )


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the argument that overrides gates."""
    parser.add_argument(
        "--force",
        type=_reason,
        metavar="REASON",
        help="promote a model that fails gates; the reason is recorded in MLflow, the release and /health",
    )


def _reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= MAX_REASON:
        raise argparse.ArgumentTypeError(f"must give a reason of at most {MAX_REASON} characters")
    return text.strip()
