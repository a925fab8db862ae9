"""The one set-up step: every command in this folder calls `ensure()` before anything else.

It needs nothing but Python 3.11. It makes `.venv` from the hash-locked requirements, which bring Node with
them, and installs the CDK CLI from `package-lock.json`. A second run compares two hashes and does nothing.
"""

from __future__ import annotations

import collections
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
LOCK = ROOT / ".local" / "set-up.lock"  # not in .venv, which a new start empties
CDK = ROOT / "node_modules" / ".bin" / "cdk"
SUPPORTED = (3, 11)  # what requirements.lock was resolved for and the tests run on


def ensure() -> None:
    """Make the environment if it is missing or outdated, and run the calling command inside it.

    Raises
    ------
    SystemExit
        With a line that names the step that failed and what to do about it; 130 after Ctrl-C.
    """
    if sys.version_info[:2] != SUPPORTED:
        _restart_with_supported_python()
    # Commands that this one starts (cdk, node, pytest) are the environment's own, whatever the shell has.
    os.environ["PATH"] = f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if not _is_current():
        try:
            _install_alone()
        except KeyboardInterrupt:
            print("\nset-up: stopped; the same command starts it afresh.", file=sys.stderr)
            sys.exit(130)
    if Path(sys.prefix) != VENV:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606
    sys.path.insert(0, str(ROOT))
    sys.excepthook = _without_trace_after_ctrl_c


def _without_trace_after_ctrl_c(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say one line where a command is stopped while it still imports, which takes seconds."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _restart_with_supported_python() -> None:
    name = f"python{SUPPORTED[0]}.{SUPPORTED[1]}"
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is needed and not on PATH; this is {sys.version.split()[0]}. Install it.")
    os.execv(found, [found, *sys.argv])  # noqa: S606


def _fingerprint() -> str:
    """Hash of all that decides what is installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.lock", "package-lock.json"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _is_current() -> bool:
    return CDK.is_file() and STAMP.is_file() and STAMP.read_text() == _fingerprint()


def _install_alone() -> None:
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two commands started together must not install twice
        if not _is_current():
            _install()


def _install() -> None:
    if importlib.util.find_spec("ensurepip") is None:  # Debian and Ubuntu have it in a package of its own
        sys.exit(
            f"set-up: the venv module of {sys.executable} is missing. Install the package "
            f"python{SUPPORTED[0]}.{SUPPORTED[1]}-venv, then run the same command again."
        )
    if VENV.is_symlink():  # what is installed there is somebody else's, and a fresh start would delete it
        sys.exit(
            f"set-up: {VENV} is a link to {VENV.resolve()}, which holds other packages than "
            "requirements.lock asks for. Remove the link, then run the same command again."
        )
    # To pip, a package that it was stopped in can look installed though its commands are missing.
    afresh = [] if STAMP.is_file() else ["--clear"]
    STAMP.unlink(missing_ok=True)
    with _Step("making .venv"):
        _run(sys.executable, "-m", "venv", *afresh, VENV)
    with _Step("installing the Python packages (a few minutes the first time)") as step:
        _install_packages(step.progress)
    with _Step("installing the CDK CLI"):
        _run(VENV / "bin" / "npm", "ci", "--no-audit", "--no-fund")
    STAMP.write_text(_fingerprint())


def _install_packages(progress: Callable[[str], None]) -> None:
    lock = ROOT / "requirements.lock"
    total = len(re.findall(r"^[\w.-]+==", lock.read_text(), re.MULTILINE))
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off",
               "--require-hashes", "-r", lock]  # fmt: skip
    collected, tail = 0, collections.deque[str](maxlen=20)
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            tail.append(line)
            if line.startswith("Collecting "):
                collected += 1
                progress(f"{collected} of {total} collected")
            elif line.startswith("Installing collected"):
                progress("unpacking")
    if pip.returncode:
        raise subprocess.CalledProcessError(pip.returncode, "pip install", output="".join(tail))


def _run(*command: object) -> None:
    """Run a command; what it prints is for whoever has to see why it failed."""
    subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )


class _Step:
    """One titled, timed step of the set-up; a failure becomes a line that says what to do."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.began = time.monotonic()
        self.reported = self.began

    def progress(self, text: str, *, every_s: float = 10) -> None:
        if time.monotonic() - self.reported >= every_s:
            self.reported = time.monotonic()
            self._say(text)

    def _say(self, text: str) -> None:
        print(f"set-up: {self.title}: {text}", file=sys.stderr, flush=True)

    def __enter__(self) -> _Step:
        self._say("started")
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError | subprocess.CalledProcessError):
            print(getattr(error, "output", None) or "", file=sys.stderr)
            self._say(f"failed: {error}")
            sys.exit("Check the network and the disk's free space, then run the same command again.")
        if error is None:
            self._say(f"done in {time.monotonic() - self.began:.0f} s")
