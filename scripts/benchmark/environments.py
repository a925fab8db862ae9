"""One environment a target, made by uv from hash-locked requirements."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.paths import CONTAINER
from scripts.benchmark import HOME, processes
from scripts.console import step

if TYPE_CHECKING:
    from collections.abc import Sequence

PEERS = Path(__file__).with_name("peers")
OURS = CONTAINER / "requirements.lock"


def ensure(name: str, locks: Sequence[Path]) -> Path:
    """Make an environment unless it is up to date; return its `bin` folder."""
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


def _uv(*arguments: str) -> None:
    processes.output(f"uv {' '.join(arguments[:2])}", [Path(sys.executable).with_name("uv"), *arguments])
