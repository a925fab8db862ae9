"""Check this machine, and with --env an account, for what would make a command fail; nothing is changed.

Exit status: 0 without a fault, 1 with one, 2 for wrong arguments.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.emulator.process import child, docker, local_aws
from infra.local_aws import DEFAULT_PORT, LocalAwsError
from infra.paths import ROOT
from scripts import _setup
from scripts.cli import command_parser
from scripts.console import DeliveryError
from scripts.delivery import engine
from scripts.diagnosis.finding import Finding, examine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.diagnosis.finding import Check, Found

_GIB = 1024**3
_NEEDED_GIB = 3  # an image's build, a training and the logs
_INSTALLATION_GIB = 5  # .venv with every layer takes 3.7
_FILES = (
    *("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"),
    "TUMOR_DATA",
)
_CDK_KEYS = {"app", "profile", "context", "output", "plugin", "role-arn", "toolkitStackName"}


def main(arguments: list[str] | None = None) -> int:
    """Print what was found, and return the exit status."""
    parser = command_parser("doctor", __doc__)
    parser.add_argument("--env", help="also check the account of this environment of infra/environments/")
    parser.add_argument(
        "--json", action="store_true", help="print JSON: scripts/diagnosis/report.schema.json"
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port of the emulator (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    on_aws = options.env not in (None, "local")
    findings = examine(checks(port=options.port, on_aws=on_aws))
    if on_aws and _setup.is_current("deploy"):
        findings += _account(options.env)
    faults = sum(each.status == "fault" for each in findings)
    if options.json:  # in the form of report.schema.json
        found = [asdict(each) for each in findings]
        print(json.dumps({"environment": options.env, "faults": faults, "findings": found}, indent=2))
    else:
        print(*findings, f"faults: {faults}", sep="\n")
    return 1 if faults else 0


def _account(environment: str) -> list[Finding]:
    from infra import config  # noqa: PLC0415 - what it needs may not be installed
    from scripts.diagnosis.account import examine_account  # noqa: PLC0415

    try:
        settings = config.load(environment)
    except config.SettingsError as error:
        wrong = error
        return examine({"settings": lambda: iter([("settings-wrong", {"words": wrong})])})
    return [] if settings.local else examine_account(settings)


def checks(*, port: int, on_aws: bool) -> dict[str, Check]:
    """Return the checks of this machine by name; on AWS they need Docker and no port of the emulator.

    They use the standard library only, so that they run before anything is installed.
    """
    found: dict[str, Check] = {
        "python": _python,
        "packages": _packages,
        "docker": partial(_docker, on_aws=on_aws),
        "disk": _disk,
        "variables": partial(_variables, on_aws=on_aws),
        "files": partial(_files, on_aws=on_aws),
        "leftovers": _leftovers,
    }
    return found if on_aws else found | {"port": partial(_port, port)}


def _python() -> Iterator[Found]:
    try:
        _setup.base_python(_setup.installer_environment())
    except _setup.SetupError:
        yield "python-absent", {"supported": " or ".join(_setup.SUPPORTED)}


def _packages() -> Iterator[Found]:
    if not _setup.is_current("deploy"):
        yield "packages-absent", {}


def _docker(*, on_aws: bool) -> Iterator[Found]:
    try:
        information = engine.information()
    except DeliveryError as error:
        yield "docker-absent" if on_aws else "docker-unused", {"words": error}
        return
    if on_aws and engine.pushes_oci(information):
        yield "image-store", {}
    yield from _space(Path(information.get("DockerRootDir", "")), 1)
    for command in docker.abandoned():
        yield "container-left", {"kind": command[0], "command": " ".join(command)}


def _disk() -> Iterator[Found]:
    yield from _space(ROOT, _NEEDED_GIB + (0 if _setup.is_current("deploy") else _INSTALLATION_GIB))
    yield from _space(Path(tempfile.gettempdir()), 1)


def _space(folder: Path, needed: int) -> Iterator[Found]:
    if folder.is_dir() and (free := shutil.disk_usage(folder).free / _GIB) < needed:
        yield "disk-full", {"free": free, "folder": folder, "needed": needed}


def _port(port: int) -> Iterator[Found]:
    if not child.responds(port, "/_ministack/health"):
        try:
            local_aws.listen(port).close()
        except LocalAwsError as error:
            yield "port-taken", {"words": str(error).partition(". ")[0]}
    try:
        socket.create_connection(("::1", port), timeout=1).close()
    except OSError:
        return
    yield "port-of-ipv6", {"port": port}


def _variables(*, on_aws: bool) -> Iterator[Found]:
    given = {name: value for name, value in sorted(os.environ.items()) if value}
    redirected = {"NODE_OPTIONS": "changes the Node that runs the CDK CLI"} if "NODE_OPTIONS" in given else {}
    if on_aws:
        redirected |= {
            each: "sends requests elsewhere" for each in given if each.startswith("AWS_ENDPOINT_URL")
        }
        if {"AWS_PROFILE", "AWS_ACCESS_KEY_ID"} <= given.keys():
            yield "two-identities", {"profile": given["AWS_PROFILE"]}
    elif given.get("DOCKER_HOST", "").startswith(("tcp:", "ssh:")):
        redirected["DOCKER_HOST"] = "is another machine, where endpoints' ports cannot be reached from here"
    for name, effect in redirected.items():
        yield "variable-redirects", {"name": name, "value": given[name], "effect": effect}
    for name in given.keys() & set(_FILES):
        if not Path(given[name]).exists():
            yield "variable-names-nothing", {"name": name, "value": given[name]}


def _files(*, on_aws: bool) -> Iterator[Found]:
    file = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    configured = _json(file)
    for helper in {configured.get("credsStore"), *configured.get("credHelpers", {}).values()} - {None, ""}:
        if shutil.which(f"docker-credential-{helper}") is None:
            yield "credential-helper", {"file": file, "helper": helper}
    user = Path.home() / ".cdk.json"  # local AWS does without it
    if on_aws and (keys := sorted(_json(user).keys() & _CDK_KEYS)):
        yield "cdk-configuration", {"file": user, "keys": ", ".join(keys)}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _leftovers() -> Iterator[Found]:
    """Yield the folders of emulators whose process has ended."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{local_aws.SCRATCH_PREFIX}*")):
        process = folder.name.removeprefix(local_aws.SCRATCH_PREFIX).partition("-")[0]
        if not (process.isdigit() and docker.runs(int(process))):
            yield "folder-left", {"folder": folder}
