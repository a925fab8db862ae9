"""One isolated environment a peer, made from hash-locked requirements that lie beside it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.benchmark.places import HOME, PEERS, ROOT, BenchmarkError
from scripts.delivery.console import step

LOCKS = {
    "ours": ROOT / "container" / "requirements.lock",
    "mlflow": PEERS / "mlflow" / "requirements.lock",
    "mlserver": PEERS / "mlserver" / "requirements.lock",
    "mlserver-litert": PEERS / "mlserver" / "litert.lock",
    "bentoml": PEERS / "bentoml" / "requirements.lock",
    "bentoml-litert": PEERS / "bentoml" / "litert.lock",
    "litserve": PEERS / "litserve" / "requirements.lock",
    "litserve-litert": PEERS / "litserve" / "litert.lock",
    "fastapi": PEERS / "fastapi" / "requirements.lock",
    "sagemaker": PEERS / "sagemaker" / "requirements.lock",
    "powertools": PEERS / "powertools" / "requirements.lock",
    "engines": PEERS.parent / "engines" / "requirements.lock",
}
"""The environments by their names, each with what decides its content."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FORM = ("--quiet", "--python-version", PYTHON, "--generate-hashes", "--no-header", "--no-emit-index-url",
        "--no-emit-find-links")  # fmt: skip
_PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def folder(name: str) -> Path:
    """Where an environment lies."""
    return HOME / "environments" / name


def program(name: str, command: str = "python") -> Path:
    """Return a program of an environment, by default its Python."""
    return folder(name) / "bin" / command


def ensure(name: str) -> None:
    """Make an environment, unless it is there as its lock file has it.

    Raises
    ------
    BenchmarkError
        With what the installer said last.
    """
    lock, stamp = LOCKS[name], folder(name) / ".installed"
    wanted = hashlib.sha256(sys.version.encode() + lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    with step(f"making the environment {name} from {lock.relative_to(ROOT)}"):
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder(name)))
        # Compiled, as an image would have it: else the first start of each would be slow.
        _uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(program(name)),
            "--require-hashes", "--requirements", str(lock))  # fmt: skip
    stamp.write_text(wanted)


def versions(name: str) -> dict[str, str]:
    """What an environment holds: package and version, as its lock file has them."""
    return pins(LOCKS[name].read_text())


def pins(lock: str) -> dict[str, str]:
    """Package and version of every line of a lock file that pins one."""
    return dict(_PIN.findall(lock))


def installed_bytes(name: str) -> int:
    """Bytes of all that is installed in an environment; Python itself is not part of it."""
    found = (folder(name) / "lib").rglob("*")
    return sum(path.stat().st_size for path in found if path.is_file() and not path.is_symlink())


def lock_all() -> None:
    """Resolve the requirements of every peer again.

    What a peer names itself is taken as the project has it, so that all compute with the same engines. All
    else is free: bounds meant for the project would keep frameworks at versions of years ago.
    """
    project = pins((ROOT / "requirements.lock").read_text())
    for lock in LOCKS.values():
        if not lock.is_relative_to(PEERS.parent):
            continue  # the container's own, which scripts/lock resolves
        source = lock.with_suffix(".in")
        named = re.findall(r"^([\w.-]+)\s*(?:#|$)", source.read_text(), re.MULTILINE)
        bounds = [f"{name}=={project[name]}\n" for name in named if name in project]
        with step(f"resolving {source.relative_to(ROOT)}"), tempfile.NamedTemporaryFile("w") as constraints:
            constraints.writelines(bounds)
            constraints.flush()
            _uv("pip", "compile", str(source), "--output-file", str(lock), "--no-annotate", "--upgrade",
                "--constraints", constraints.name, *FORM)  # fmt: skip


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-8:])
        raise BenchmarkError(
            f"uv {arguments[0]} failed; it said last:\n{last}\nIs the package index reached?"
        )
