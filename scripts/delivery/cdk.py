"""The CDK CLI, as `package-lock.json` pins it, run by the environment's own Node."""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
CDK = ROOT / "node_modules" / ".bin" / "cdk"
_REASONS_KEPT = 12
_ENVIRONMENT = {
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",  # SageMaker refuses the OCI manifests that attestations make
    "CDK_DISABLE_CLI_TELEMETRY": "1",
    "NO_COLOR": "1",
}
_EVENT = re.compile(r"^\s*(?P<stack>\S+) \|\s+(?P<done>\d+)/(?P<all>\d+) \|")


def cdk(
    *arguments: str,
    context: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> None:
    """Run one CDK command and show what it prints.

    Parameters
    ----------
    *arguments
        As on the command line, for example ``"deploy", "--all"``.
    context
        Keys and values for ``-c``; the application reads ``env``, ``release`` and ``base_image``.
    environment
        What its environment holds beside this process's own.
    root
        The tree whose application it runs, where it is not this one.

    Raises
    ------
    DeliveryError
        With the lines in which CloudFormation, Docker or the application said why it failed.
    """
    flags = [flag for key, value in (context or {}).items() for flag in ("-c", f"{key}={value}")]
    command = [str(CDK), *arguments, *flags, "--no-notices"]
    reasons: collections.deque[str] = collections.deque(maxlen=_REASONS_KEPT)
    with subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **_ENVIRONMENT, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in filter(str.strip, process.stdout or ()):
            _show(line)
            if _says_why(line):
                reasons.append(line.strip())
    if process.returncode:
        why = "\n".join(dict.fromkeys(reasons)) or "see its output above"
        raise DeliveryError(f"`cdk {' '.join(arguments)}` failed:\n{why}")


def _show(line: str) -> None:
    """Pass a line on; of the many events of a stack that goes well, only how far it has come."""
    event = _EVENT.match(line)
    if event is None or _says_why(line):
        sys.stderr.write(f"    {line}")
    elif sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K    {event['stack']}: {event['done']} of {event['all']}\r")


def _says_why(line: str) -> bool:
    return any(mark in line for mark in ("_FAILED", "❌", "Error", "error:", "ROLLBACK", "failed"))
