"""Compare two model versions on the images that both were tested on, out of fold.

A and B are each a version of the registry (NAME@VERSION, or VERSION alone) or the path of a release record.
With --shadow an environment's shadow is compared with its release instead, by what both answered to callers.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra import config, release
from infra.release import ReleaseError
from model.data.dataset import MODEL_NAME
from model.evaluation.comparison import compare
from model.release import challenge, registry
from scripts.cli import cli_errors, command_parser
from scripts.commands import common
from scripts.commands.model_errors import MODEL_ERRORS
from scripts.console import DeliveryError, echo, step
from scripts.delivery.aws import connect
from scripts.monitoring import shadow
from scripts.monitoring.output import STORE_ERRORS

if TYPE_CHECKING:
    import argparse

    from model.release.registry import ModelVersion


def main(arguments: list[str] | None = None) -> None:
    """Print both figures, their paired differences, and the images on which the two differ."""
    parser = command_parser("compare", __doc__)
    for name in ("A", "B"):
        parser.add_argument(name, nargs="?", help="NAME@VERSION, VERSION, or the path of a release record")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--shadow", action="store_true", help="compare the shadow of --env with its release")
    common.add_environment(parser, required=False)
    common.add_since(parser)
    options = parser.parse_args(arguments)
    given = (bool(options.A), bool(options.B), bool(options.env))
    if given != ((False, False, True) if options.shadow else (True, True, False)):
        parser.error("write two versions, A and B, or --shadow --env E")
    if options.shadow:
        with common.cli_errors(*MODEL_ERRORS):
            _compare_shadow(options)
        return
    with cli_errors(ReleaseError, *MODEL_ERRORS):
        first, second = find(options.A), find(options.B)
        found = compare(first.scored(), second.scored())
        if options.json:
            versions = {"A": asdict(first), "B": asdict(second)}
            print(json.dumps(versions | asdict(found), allow_nan=False))
        else:
            print(challenge.describe(first, second, found), end="")


def _compare_shadow(options: argparse.Namespace) -> None:
    """Print how the shadow compares, and record it with its version, where a promotion looks for it."""
    settings = config.load(options.env)
    if settings.shadow is None:
        raise DeliveryError(f"{options.env} has no shadow: its settings have no [hosting.shadow].")
    connect(settings)
    served, challenger = map(release.load, (release.record_path(options.env), settings.shadow.path))
    since = datetime.now(UTC) - options.since
    found = shadow.compare(settings, served=served, shadow=challenger, since=since)
    print(json.dumps(asdict(found), indent=2) if options.json else shadow.table(found), flush=True)
    if not found.pairs:
        raise DeliveryError("There is no pair of answers: is the shadow deployed, and does it answer?")
    try:
        with step("recording it with the version in MLflow"):
            registry.record_shadow(released(settings.shadow.path), found.outcome())
    except (*STORE_ERRORS, registry.RegistryError, DeliveryError) as error:
        echo(f"  not recorded, so a promotion does not know it: {error}")


def find(what: str) -> ModelVersion:
    """Find the model version that a command line or a release record names."""
    name, _, version = what.rpartition("@")
    if version.isdigit():
        return registry.find_version(name or MODEL_NAME, version=version)
    return released(Path(what))


def released(record: Path) -> ModelVersion:
    """Find the model version of a release record, in the MLflow store where it was trained."""
    named = release.load(record)
    version = registry.find_version(named.model.name, version=named.model.version)
    if version.run_id != named.mlflow.run_id:
        raise DeliveryError(
            f"{record} names the MLflow run {named.mlflow.run_id}, but here version {version.version} of "
            f"{version.name} is of run {version.run_id}: it was trained with another store. Set "
            "MLFLOW_TRACKING_URI to that one."
        )
    return version
