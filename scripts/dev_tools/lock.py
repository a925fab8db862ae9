"""Resolve every declared requirement into hash-locked files, the project's for all supported platforms."""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.paths import CONTAINER, ROOT
from scripts._setup import LAYERS, SUPPORTED
from scripts.benchmark.targets import OURS, PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = ROOT / "requirements"
GROUPS = LAYERS[1:]
# Each is complete: for the small environment, and for a training job. The others hold only what these lack.
COMPLETE = ("deploy", "train")
SERVING = CONTAINER / "requirements.in"
SBOM_TOOL = CONTAINER / "build" / "requirements.in"
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")
FORM = ("--python-version", SUPPORTED[0], "--generate-hashes", "--no-header", "--no-annotate",
        "--no-emit-index-url", "--no-emit-find-links")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Resolve everything together, then write each file from that."""
    parser = argparse.ArgumentParser(prog="scripts/dev lock", description=__doc__)
    parser.add_argument(
        "--upgrade", action="store_true", help="take the newest versions instead of keeping these"
    )
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            resolve(Path(folder), keep=[] if options.upgrade else sorted(FOLDER.glob("*.txt")))
        check_wheels()
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # uv has printed why
    return 0


def resolve(scratch: Path, *, keep: Sequence[Path]) -> None:
    """Write the lock files, with the versions of `keep` wherever those still fit."""
    everything = scratch / "everything.txt"
    everything.write_text("".join(path.read_text() for path in keep))  # uv prefers what its output file has
    _compile(ROOT / "pyproject.toml", *(f"--group={name}" for name in GROUPS), "--universal", to=everything)
    limits = f"--constraints={everything}"
    written: set[str] = set()
    for name in LAYERS:
        source = ROOT / "pyproject.toml" if name == "deploy" else f"--group={name}"
        left_out = () if name in COMPLETE else [f"--no-emit-package={package}" for package in sorted(written)]
        target = FOLDER / f"{name}.txt"
        _compile(source, limits, "--universal", *left_out, to=target)
        written |= set(packages(target))
    _compile(SERVING, limits, to=OURS)
    _compile(SBOM_TOOL, "--no-deps", to=SBOM_TOOL.with_suffix(".lock"))
    # With the serving image's versions of what they share, so that all of the benchmark compute alike.
    alike = (f"--constraints={OURS}", *(() if keep else ("--upgrade",)))
    for source in sorted(PEERS.glob("*.in")):
        _compile(source, *alike, to=source.with_suffix(".lock"))


def _compile(*arguments: str | Path, to: Path) -> None:
    _uv("compile", *arguments, *FORM, "--output-file", to)
    # uv lists what --no-emit-package left out.
    to.write_text("".join(line for line in to.open() if not line.startswith("#")))


def packages(lock: Path) -> dict[str, str]:
    """Return the version of each package of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def check_wheels() -> None:
    """Have uv find a wheel of every package for each platform and Python."""
    locks = [FOLDER / f"{name}.txt" for name in LAYERS]
    for platform in PLATFORMS:
        for python in SUPPORTED:
            with tempfile.TemporaryDirectory() as target:
                machine = ("--python-platform", platform, "--python-version", python)
                _uv("sync", *locks, *machine, "--dry-run", "--target", target, "--only-binary=:all:")
            print(f"✓ wheels for Python {python} on {platform}", flush=True)


def _uv(command: str, *arguments: str | Path) -> None:
    subprocess.run(["uv", "pip", command, "--quiet", *map(str, arguments)], cwd=ROOT, check=True)
