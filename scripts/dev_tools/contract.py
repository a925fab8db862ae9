"""Check that code, page, client and examples keep the HTTP contract, `infra/site/openapi.json`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from infra.paths import ROOT


def main(arguments: list[str] | None = None) -> int:
    """Run the contract's test, which names each difference."""
    argparse.ArgumentParser(prog="scripts/dev contract", description=__doc__).parse_args(arguments)
    test = [sys.executable, "-m", "pytest", "-q", "tests/api/test_contract.py"]
    return subprocess.run(test, cwd=ROOT, check=False).returncode
