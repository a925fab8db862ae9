"""The one set-up step: every command in this folder calls `ensure()` before anything else.

It needs nothing but Python 3.11. It makes `.venv` from the hash-locked requirements, which bring Node with
them, and installs the CDK CLI from `package-lock.json`. A second run compares two hashes and does nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
SUPPORTED = (3, 11)  # tensorflow, ministack and aws-cdk-lib were resolved and tested together on this one


def ensure() -> None:
    """Make the environment if it is missing or outdated, and run the calling command inside it.

    Raises
    ------
    SystemExit
        With one line that names the step that failed and what to do about it.
    """
    if Path(sys.prefix) == VENV and _is_current():
        sys.path.insert(0, str(ROOT))
        return
    if sys.version_info[:2] != SUPPORTED:
        wanted = ".".join(map(str, SUPPORTED))
        sys.exit(f"Python {wanted} is needed, this is {sys.version.split()[0]}. Try: python{wanted} {sys.argv[0]}")
    VENV.mkdir(exist_ok=True)
    with (ROOT / ".venv" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two commands started together must not install twice
        if not _is_current():
            _install()
    # Run the command again, now by the environment's own Python and with its Node first on PATH.
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.execv(PYTHON, [str(PYTHON), *sys.argv])


def _fingerprint() -> str:
    """Hash of all that decides what is installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.lock", "package-lock.json"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _stamp() -> Path:
    return VENV / ".installed"


def _is_current() -> bool:
    return _stamp().is_file() and _stamp().read_text() == _fingerprint()


def _install() -> None:
    _stamp().unlink(missing_ok=True)
    _step("making .venv", lambda: venv.create(VENV, with_pip=True, upgrade_deps=False))
    _step(
        "installing the Python packages (some 220, a few minutes the first time)",
        lambda: _run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                     "--require-hashes", "-r", ROOT / "requirements.lock"),
    )  # fmt: skip
    _step("installing the CDK CLI", lambda: _run(VENV / "bin" / "npm", "ci", "--no-audit", "--no-fund", "--silent"))
    _stamp().write_text(_fingerprint())


def _step(title: str, action: object) -> None:
    print(f"set-up: {title} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        action()  # type: ignore[operator]
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(f"set-up: {title} failed: {error}\nCheck the network and the disk's free space, then run again.")
    print(f"set-up: done in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _run(*command: object) -> None:
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True, env=os.environ | {"PATH": path})
