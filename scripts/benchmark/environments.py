"""One environment a target, made by uv from hash-locked requirements."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.paths import CONTAINER, ROOT
from scripts.benchmark import HOME, BenchmarkError
from scripts.console import step

if TYPE_CHECKING:
    from collections.abc import Sequence

PEERS = Path(__file__).with_name("peers")
OURS = CONTAINER / "requirements.lock"
LOCKED = ("gunicorn", "fastapi", "mlflow", "litserve")  # peers with requirements of their own
_PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def ensure(name: str, locks: Sequence[Path]) -> Path:
    """Make an environment unless it is up to date; return its `bin` folder.

    Raises
    ------
    BenchmarkError
        With the last output of uv.
    """
    folder = HOME / "environments" / name
    stamp = folder / ".installed"
    wanted = hashlib.sha256(b"".join([sys.version.encode(), *(lock.read_bytes() for lock in locks)]))
    if not (stamp.is_file() and stamp.read_text() == wanted.hexdigest()):
        with step(f"installing the environment of {name}"):
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
            requirements = [f"--requirements={lock}" for lock in locks]
            # Compiled, as an image would have it: the first start would be slow otherwise.
            _uv("pip", "install", "--quiet", "--compile-bytecode", "--require-hashes",
                f"--python={folder / 'bin' / 'python'}", *requirements)  # fmt: skip
        stamp.write_text(wanted.hexdigest())
    return folder / "bin"


def lock_all() -> None:
    """Resolve the peers' requirements again.

    Packages that the serving image has too get its versions, so that all targets compute alike.
    """
    pins = "".join(f"{name}=={version}\n" for name, version in _PIN.findall(OURS.read_text()))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(pins)
        constraints.flush()
        for name in LOCKED:
            with step(f"resolving the requirements of {name}"):
                _uv("pip", "compile", str(PEERS / f"{name}.in"), f"--output-file={PEERS / f'{name}.lock'}",
                    f"--python-version={sys.version_info.major}.{sys.version_info.minor}",
                    f"--constraints={constraints.name}", "--quiet", "--upgrade", "--generate-hashes",
                    "--no-header", "--no-annotate", "--no-emit-index-url")  # fmt: skip


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-8:])
        raise BenchmarkError(f"uv {' '.join(arguments[:2])} failed:\n{last}")
