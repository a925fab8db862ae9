"""Compare two model versions on the images that both were tested on, out of fold.

A and B are each a version of the registry (NAME@VERSION, or VERSION alone) or the path of a release record.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from infra import release
from infra.release import ReleaseError
from model.data.dataset import MODEL_NAME
from model.evaluation.comparison import compare
from model.release import challenge, registry
from scripts.cli import cli_errors, command_parser
from scripts.commands.model_errors import MODEL_ERRORS
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from model.release.registry import ModelVersion


def main(arguments: list[str] | None = None) -> None:
    """Print both figures, their paired differences, and the images on which the two differ."""
    parser = command_parser("compare", __doc__)
    for name in ("A", "B"):
        parser.add_argument(name, help="NAME@VERSION, VERSION, or the path of a release record")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    with cli_errors(ReleaseError, *MODEL_ERRORS):
        first, second = find(options.A), find(options.B)
        found = compare(first.scored(), second.scored())
        if options.json:
            versions = {"A": asdict(first), "B": asdict(second)}
            print(json.dumps(versions | asdict(found), allow_nan=False))
        else:
            print(challenge.describe(first, second, found), end="")


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
