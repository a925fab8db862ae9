"""Run the locked CDK CLI with the project's Node and Python, for example scripts/cdk synth -c env=prod."""

from __future__ import annotations

import os
import sys

from infra.paths import ROOT
from scripts.delivery.cdk import CDK, DOCKER


def main(arguments: list[str] | None = None) -> None:
    """Replace this process by the CDK CLI, in the folder of cdk.json."""
    os.chdir(ROOT)
    os.execve(CDK, [str(CDK), *(sys.argv[1:] if arguments is None else arguments)], DOCKER | os.environ)  # noqa: S606
