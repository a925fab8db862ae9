"""Rebuild the serving image on its base of today, and say what that changes in packages and vulnerabilities.

The Dockerfile gets the new pin at the end, or with `propose` a branch of the remote does. UNVERIFIED
with a public registry: the tests build from local images.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from infra.paths import CONTAINER, ROOT
from scripts.cli import cli_errors
from scripts.console import echo, step
from scripts.delivery.program import output
from scripts.dev_tools.pin import PLATFORM, newest_base, write_base
from scripts.retraining import branch

BILL, DEBIAN = "/opt/sbom.cdx.json", "/var/lib/dpkg/status"  # of Python's packages, and of Debian's
TITLE = "Rebuild the serving image on a fresh base"
_AUDIT = ("pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
_DEBIAN = re.compile(r"^Package: (\S+)$.*?^Version: (\S+)$", re.MULTILINE | re.DOTALL)


def main(arguments: list[str] | None = None) -> None:
    """Rebuild, or propose to."""
    parser = argparse.ArgumentParser(prog="scripts/dev rebuild", description=__doc__)
    parser.add_argument("how", nargs="?", choices=("here", "propose"), default="here")
    options = parser.parse_args(arguments)
    with cli_errors():
        rebuild(ROOT, propose=options.how == "propose")


def rebuild(repository: Path, *, propose: bool) -> None:
    """Print what a fresh base changes, and write its pin, here or on a branch; without one do nothing."""
    place = CONTAINER.relative_to(ROOT)
    dockerfile = repository / place / "Dockerfile"
    before, after = newest_base(dockerfile)
    if before == after:
        echo(f"{after} is the newest: nothing to rebuild.")
        return
    text = summary(*(packages(build(repository / place, base)) for base in (before, after)))
    print(f"`{before}`\n-> `{after}`\n\n{text}")
    if not propose:
        write_base(dockerfile, after)
        return
    name, body = f"rebuild/{datetime.now(UTC):%Y-%m-%d}", f"{before}\n-> {after}"
    with branch.proposed(repository, name, subject=TITLE, body=body, inside=place) as folder:
        write_base(folder / "Dockerfile", after)
    branch.open_pull_request(repository, name, title=TITLE, body=f"{body}\n\n{text}")


def build(folder: Path, base: str) -> str:
    """Build the serving image on a base, with nothing that was built before; return its id."""
    fresh = ("--quiet", "--no-cache", "--platform", PLATFORM, "--build-arg", f"BASE_IMAGE={base}")
    with step(f"building on {base}"):
        return _docker("build", *fresh, str(folder))


def packages(image: str) -> dict[str, str]:
    """Return the version of each of an image's packages, Python's by name and Debian's as `debian NAME`."""
    container = _docker("create", image, "none")
    with tempfile.TemporaryDirectory() as folder:
        try:
            for path in (BILL, DEBIAN):
                _docker("cp", f"{container}:{path}", folder)
        finally:
            _docker("rm", container)
        bill, debian = (Path(folder, path.rpartition("/")[2]).read_text() for path in (BILL, DEBIAN))
    found = {each["name"]: each["version"] for each in json.loads(bill)["components"]}
    return found | {f"debian {name}": version for name, version in _DEBIAN.findall(debian)}


def summary(old: dict[str, str], new: dict[str, str]) -> str:
    """Describe in Markdown how the packages differ, and what is known of the new ones."""
    changed = [
        f"| {name} | {old.get(name, '-')} | {new.get(name, '-')} |"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    table = ["| Package | Before | After |", "|---|---|---|", *changed] if changed else ["None changed."]
    known = "Known vulnerabilities of its Python packages (ECR scans Debian's when the image is pushed):"
    return "\n".join(["## Packages", "", *table, "", "## Vulnerabilities", "", known, "", *_known(new)])


def _known(image: dict[str, str]) -> list[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in image.items() if " " not in name)
        file.flush()
        command = [sys.executable, "-m", *_AUDIT, f"--requirement={file.name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        return [f"**not looked up**: {done.stderr.strip()[-300:]}"]
    found = [
        f"- {each['name']} {each['version']}: {known['id']}, fixed in: {', '.join(known['fix_versions'])}"
        for each in json.loads(done.stdout)["dependencies"]
        for known in each.get("vulns", ())
    ]
    return found or ["None."]


def _docker(*arguments: str) -> str:
    return output(f"Nothing was changed: docker {arguments[0]}", ["docker", *arguments]).strip()
