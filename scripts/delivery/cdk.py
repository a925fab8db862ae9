"""The CDK CLI, as `package-lock.json` pins it."""

from __future__ import annotations

import collections
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from infra.paths import ROOT
from infra.release import NO_RELEASE
from scripts.console import DeliveryError, detail, progress
from scripts.delivery import engine, program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.config import Settings

CDK = ROOT / "node_modules" / ".bin" / "cdk"
HOME = ROOT / ".local" / "cdk-home"
DOCKER = {"CDK_DOCKER": str(Path(__file__).with_name("docker.sh"))}
_REASONS_KEPT = 12
_TAIL_LINES = 5
_ENVIRONMENT = {
    "CDK_DISABLE_CLI_TELEMETRY": "1",
    "CDK_DISABLE_VERSION_CHECK": "1",
    "NO_COLOR": "1",
}
_EVENT = re.compile(r"^\s*(?P<stack>\S+) \|\s+(?P<done>\d+)/(?P<all>\d+) \|")
_FAILURE = re.compile(r"_FAILED|❌|Error|error:|ROLLBACK|failed")


def environment(*, user_configuration: bool) -> dict[str, str]:
    """Return the environment variables of a CDK command.

    ``~/.cdk.json`` may name a profile, an application or a bootstrap that local AWS does not have.
    """
    variables = DOCKER | os.environ | _ENVIRONMENT
    if user_configuration:
        return variables
    home = Path.home()
    HOME.mkdir(parents=True, exist_ok=True)
    caches = {  # Docker's contexts and logins, and jsii's unpacked packages, stay where they are
        "DOCKER_CONFIG": str(home / ".docker"),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(home / ".cache" / "aws" / "jsii" / "package-cache"),
    }
    return caches | variables | {"HOME": str(HOME)}


def cdk(*arguments: str, local: bool, context: Sequence[str] = (), root: Path = ROOT) -> None:
    """Run one CDK command and show what it prints; a `DeliveryError` has the lines that explain a failure.

    The ``cdk.json`` of `root` names the application. The user's own is not read for local AWS. `context`
    holds further flags, which a failure does not repeat.
    """
    failures = collections.deque[str](maxlen=_REASONS_KEPT)
    tail = collections.deque[str](maxlen=_TAIL_LINES)
    with program.running(
        [str(CDK), *arguments, *context, "--no-notices"],
        cwd=root, env=environment(user_configuration=not local),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        for line in filter(str.strip, process.stdout or ()):
            if _FAILURE.search(line):
                failures.append(line.strip())
            elif event := _EVENT.match(line):
                progress(f"{event['stack']}: {event['done']} of {event['all']}")
                continue  # one of many events of a healthy stack
            tail.append(line.strip())
            detail(f"    {line.rstrip()}")
        if process.wait():
            reasons = "\n".join(dict.fromkeys(failures or tail))
            raise DeliveryError(f"`cdk {' '.join(arguments)}` failed:\n{reasons}")


def synthesize(settings: Settings, *, record: Path | None, to: Path, root: Path = ROOT) -> None:
    """Write an environment's templates to a folder; a finding of cdk-nag, or a warning, is a failure.

    Without a release record only the registry stack is declared.
    """
    context = {"env": settings.environment, "release": str(record.resolve()) if record else NO_RELEASE}
    context |= engine.base_image_context(local=settings.local)
    flags = [f"--context={key}={value}" for key, value in context.items()]
    arguments = ("synth", "--quiet", "--strict", "--output", str(to))
    cdk(*arguments, local=settings.local, context=flags, root=root)
