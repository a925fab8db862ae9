"""Run the project's checks: lint, types, known vulnerabilities and tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from infra.paths import ROOT
from scripts._setup import LAYERS
from scripts.cli import command_parser
from scripts.console import echo

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
Other arguments go to pytest, which then runs alone, for example scripts/test tests/model -k split.
tests/conftest.py explains the markers slow and real."""
LINT_AND_TYPES = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy", "."))
# tests/conftest.py orders the groups; xdist would start with those of most tests instead.
PARALLEL = ("-n", "2", "--no-loadscope-reorder")
FAST = (*PARALLEL, "--fast", "-m", "not slow")
DEFAULT = (*PARALLEL, "-m", "not slow", "--durations=15")
ALL = (*PARALLEL, "-p", "randomly", "--fuzz-seconds=60", "--durations=30")
# A known vulnerability in the image fails; others are only printed.
SHIPPED = ("container/requirements.lock",)
NOT_SHIPPED = tuple(f"requirements/{name}.txt" for name in LAYERS)
AUDIT = ("pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=10")


def main(arguments: list[str] | None = None) -> int:
    """Run the checks, cheapest first; a failure does not hide those after it."""
    parser = command_parser("test", __doc__, epilog=EPILOG)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--fast", action="store_true", help="lint, types and quick unit tests only")
    extent.add_argument(
        "--all", action="store_true", help="also long fuzzing, drills, trainings, every environment"
    )
    options, for_pytest = parser.parse_known_args(arguments)
    # A shell that starts this in the background ignores Ctrl-C, and the tests' processes would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    selection = FAST if options.fast else ALL if options.all else () if for_pytest else DEFAULT
    outcomes: dict[str, bool] = {}
    if not for_pytest:
        outcomes |= {" ".join(command): _passes(*command) for command in LINT_AND_TYPES}
        if not options.fast:
            outcomes["pip-audit"], _ = _audit(SHIPPED), _audit(NOT_SHIPPED)
    outcomes["pytest"] = _passes("pytest", *selection, *for_pytest)
    failed = [name for name, passed in outcomes.items() if not passed]
    if failed:
        echo(f"scripts/test: failed: {', '.join(failed)}")
    return 1 if failed else 0


def _passes(*command: str) -> bool:
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT) as check:
        try:
            status = check.wait()
        except KeyboardInterrupt:
            check.wait()  # it received Ctrl-C too: let it remove what it started
            raise
    verdict = "FAILED" if status else "passed"
    echo(f"scripts/test: {' '.join(command)} {verdict} in {time.monotonic() - began:.0f} s")
    return status == 0


def _audit(locks: Sequence[str]) -> bool:
    """Print the known vulnerabilities of locked packages, or why they cannot be looked up."""
    command = [sys.executable, "-m", *AUDIT, *(f"--requirement={lock}" for lock in locks)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if "could not be audited" not in line]
    unknown = len(done.stdout.splitlines()) - len(found)
    if done.returncode and not done.stdout:
        reason = done.stderr.strip().splitlines()[-1]
        echo(f"scripts/test: pip-audit skipped for {', '.join(locks)}: {reason}")
        return True
    if done.returncode:
        print(*found, sep="\n", flush=True)
    unknown_too = f"; its database does not know {unknown} of the packages" if unknown else ""
    outcome = "found vulnerabilities" if done.returncode else "found nothing"
    echo(f"scripts/test: pip-audit {outcome} in {', '.join(locks)}{unknown_too}")
    return done.returncode == 0
