"""Rebuild the serving image on its base of today, and say what that changes in packages and vulnerabilities.

The Dockerfile gets the new pin at the end, or with --propose a branch of the remote does. UNVERIFIED with a
public registry.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime

from infra.paths import CONTAINER, ROOT
from scripts.cli import cli_errors
from scripts.console import DeliveryError, echo, step
from scripts.dev_tools.pin import PLATFORM, newest_base, write_base
from scripts.retraining import branch

BILL, DEBIAN = "/opt/sbom.cdx.json", "/var/lib/dpkg/status"  # of Python's packages, and of Debian's
TITLE = "Rebuild the serving image on a fresh base"
_AUDIT = ("pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
_DEBIAN = re.compile(r"^Package: (\S+)$.*?^Version: (\S+)$", re.MULTILINE | re.DOTALL)


def main(arguments: list[str] | None = None) -> None:
    """Rebuild; print the summary, and propose it where that is asked for."""
    parser = argparse.ArgumentParser(prog="scripts/dev rebuild", description=__doc__)
    parser.add_argument("--propose", action="store_true", help="push a branch and open its pull request")
    options = parser.parse_args(arguments)
    with cli_errors():
        before, after = newest_base(CONTAINER / "Dockerfile")
        if before == after:
            echo(f"{after} is the newest: nothing to rebuild.")
            return
        text = summary(before, after)
        print(text)
        if not options.propose:
            write_base(CONTAINER / "Dockerfile", after)
            return
        name = f"rebuild/{datetime.now(UTC):%Y-%m-%d}"
        inside = CONTAINER.relative_to(ROOT)
        with branch.proposed(
            ROOT, name, subject=TITLE, body=f"{before}\n-> {after}", inside=inside
        ) as folder:
            write_base(folder / "Dockerfile", after)
        branch.open_pull_request(ROOT, name, title=TITLE, body=text)


def summary(before: str, after: str) -> str:
    """Build the image on both bases, and describe in Markdown how they differ."""
    old, new = (packages(build(base)) for base in (before, after))
    changed = [
        f"| {name} | {old.get(name, '-')} | {new.get(name, '-')} |"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    table = (
        ["| Package | Before | After |", "|---|---|---|", *changed] if changed else ["No package changed."]
    )
    known = ["## Known vulnerabilities of the new image's Python packages", *vulnerabilities(new)]
    scan = "Debian's packages are scanned in ECR, when the image is pushed."
    return "\n".join([f"`{before}`", f"-> `{after}`", "", "## Packages", "", *table, "", *known, "", scan])


def build(base: str) -> str:
    """Build the serving image on a base, from nothing that was built before; return its id."""
    command = ["docker", "build", "--quiet", "--no-cache", "--platform", PLATFORM, str(CONTAINER)]
    with step(f"building on {base}"):
        return _docker(*command[1:], "--build-arg", f"BASE_IMAGE={base}").decode().split()[-1]


def packages(image: str) -> dict[str, str]:
    """Return the version of each of an image's packages, Python's and Debian's."""
    container = _docker("create", image, "none").decode().strip()
    try:
        bill, debian = (_member(_docker("cp", f"{container}:{path}", "-")) for path in (BILL, DEBIAN))
    finally:
        _docker("rm", container)
    found = {f"{each['name']} (Python)": each["version"] for each in json.loads(bill)["components"]}
    return found | {f"{name} (Debian)": version for name, version in _DEBIAN.findall(debian.decode())}


def vulnerabilities(image: dict[str, str]) -> list[str]:
    """Describe the known vulnerabilities of Python packages, a line each, or why they are unknown."""
    pinned = [f"{name.split()[0]}=={image[name]}\n" for name in image if name.endswith("(Python)")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(pinned)
        file.flush()
        command = [sys.executable, "-m", *_AUDIT, f"--requirement={file.name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        return ["", f"**They could not be looked up:** {done.stderr.strip().splitlines()[-1]}"]
    found = [
        f"- {each['name']} {each['version']}: {known['id']}, fixed in: {', '.join(known['fix_versions'])}"
        for each in json.loads(done.stdout)["dependencies"]
        for known in each.get("vulns", ())
    ]
    return ["", *(found or ["None is known."])]


def _member(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        content = members.extractfile(members.getmembers()[0])
        return content.read() if content else b""


def _docker(*arguments: str) -> bytes:
    done = subprocess.run(["docker", *arguments], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()[-1000:]
        raise DeliveryError(f"docker {arguments[0]} failed, so nothing was changed:\n{reason}")
    return done.stdout
