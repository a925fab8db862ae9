"""Make a base image for the serving container from Debian's packages, where no public image can be pulled.

It copies this machine's pip configuration and certificates, so that `docker build` reaches the same package
index. It is for local use and tests: deploy with the Dockerfile's base. It needs no installed package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.cli import cli_errors
from scripts.delivery.engine import failure
from scripts.delivery.program import output

TAG = "tumor-detector-base:bookworm"
SUITE = "bookworm"  # its Python is 3.11
PACKAGES = "ca-certificates,python3,python3-venv"
# This machine's pip configuration, and where root's pip finds it inside `docker build`.
PIP_CONFIGURATIONS = {
    Path("/etc/pip.conf"): Path("etc/pip.conf"),
    Path.home() / ".config/pip/pip.conf": Path("root/.config/pip/pip.conf"),
    Path.home() / ".pip/pip.conf": Path("root/.pip/pip.conf"),
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# Not needed in an image: package lists and archives, documentation, translations, logs.
LEFT_OUT = (
    *("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*"),
    *("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*"),
)


def main(arguments: list[str] | None = None) -> None:
    """Make the image, unless it exists."""
    parser = argparse.ArgumentParser(prog="scripts/dev base-image", description=__doc__)
    parser.add_argument("--tag", default=TAG, help="tag of the image (default: %(default)s)")
    parser.add_argument("--rebuild", action="store_true", help="make it again even if it exists")
    options = parser.parse_args(arguments)
    if not options.rebuild and failure("docker", "image", "inspect", options.tag) is None:
        print(f"{options.tag} exists (--rebuild makes it again).")
    elif obstacles := _obstacles():
        sys.exit("The base image cannot be made here:\n" + "\n".join(f"  - {line}" for line in obstacles))
    else:
        with cli_errors():
            _make(options.tag)
    print(f"Use it with: export TUMOR_BASE_IMAGE={options.tag}")


def _obstacles() -> list[str]:
    """Return everything that prevents the image from being made, each with its remedy."""
    obstacles = []
    if os.geteuid() != 0:
        obstacles.append("debootstrap needs root: run this with sudo")
    if shutil.which("debootstrap") is None:
        obstacles.append("there is no debootstrap: apt-get install debootstrap")
    if reason := failure("docker", "info"):
        obstacles.append(f"no Docker engine answers: apt-get install docker.io, and start dockerd ({reason})")
    return obstacles


def _make(tag: str) -> None:
    """Bootstrap a minimal Debian, add this machine's pip configuration, import it as an image."""
    with tempfile.TemporaryDirectory(prefix="base-image-") as folder:
        root = Path(folder) / "root"
        print(f"Installing Debian {SUITE} with Python (a minute or two) ...", flush=True)
        output("debootstrap", ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root])
        variables = _copy_configuration(root)
        archive = Path(folder) / "root.tar"
        excluded = [f"--exclude=./{pattern}" for pattern in LEFT_OUT]
        pack = ("tar", "--create", "--file", archive, "--directory", root, "--one-file-system")
        output("tar", [*pack, *excluded, "."])
        changes = [f"--change=ENV {name}={path}" for name, path in variables.items()]
        output("docker import", ["docker", "import", *changes, archive, tag])


def _copy_configuration(root: Path) -> dict[str, Path]:
    """Copy this machine's pip configuration and certificates; return the variables that name the latter."""
    set_here = ((name, Path(os.environ.get(name, ""))) for name in CERTIFICATE_VARIABLES)
    named = {name: path.absolute() for name, path in set_here if path.is_file()}
    targets = {path: path.relative_to("/") for path in (CERTIFICATES, *named.values())} | PIP_CONFIGURATIONS
    for source, target in targets.items():
        if source.is_file():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, root / target)
    return named
