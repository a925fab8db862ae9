"""What is measured: the project's server and its peers, each in its environment."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.paths import CONTAINER, ROOT
from scripts.benchmark import CORES, HOME, network
from scripts.benchmark.load import Payload
from scripts.console import step
from scripts.delivery.program import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOWER_BOUND = "lower bound"  # decode and inference alone
PEERS = Path(__file__).with_name("peers")
OURS = CONTAINER / "requirements.lock"
MLFLOW_MODEL = HOME / "mlflow_model"


@dataclass(frozen=True)
class Target:
    """A server to measure, and how to start it."""

    name: str
    title: str
    locks: tuple[Path, ...]  # of its environment
    command: Sequence[str]  # with {bin}, {port}, {workers} and {model} to fill in
    payload: str = "raw"  # an image as it is, or "dataframe": as base64 in that of MLflow's JSON
    prepare: Sequence[str] = ()  # a command to run once before, with {bin} and {model} to fill in

    def environment(self, port: int) -> dict[str, str]:
        """Return the variables to start it with."""
        return {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "MODEL_DIR": str(network.SERVING),
            "BIND_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(CORES),
        }

    def ready(self) -> Path:
        """Install its environment and prepare it; return the environment's folder of programs."""
        programs = ensure_environment(self.name, self.locks)
        if self.prepare:
            command = [part.format(bin=programs, model=MLFLOW_MODEL) for part in self.prepare]
            with step(f"preparing {self.title}"):
                variables = {**os.environ, **self.environment(0)}
                output(f"preparing {self.title}", command, env=variables)
        return programs

    def pack(self, image: Payload) -> Payload:
        """Turn an image into the request that the server takes."""
        if self.payload == "raw":
            return image
        encoded = base64.b64encode(image.body).decode()
        document = {"dataframe_split": {"columns": ["image"], "data": [[encoded]]}}
        return Payload(json.dumps(document).encode(), "application/json")

    def probability(self, body: bytes) -> float:
        """Read the probability of a tumour from a response."""
        document = json.loads(body)
        return float(document["predictions"][0] if self.payload == "dataframe" else document["probability"])


def _targets() -> Iterator[Target]:
    """Yield the targets of targets.toml, this server first."""
    read = tomllib.loads(Path(__file__).with_name("targets.toml").read_text(encoding="utf-8"))
    for name, members in read.items():
        locks = tuple(ROOT / lock for lock in members.pop("locks"))
        yield Target(name, locks=locks, **members)


TARGETS = tuple(_targets())


def ensure_environment(name: str, locks: Sequence[Path]) -> Path:
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
    output(f"uv {' '.join(arguments[:2])}", [Path(sys.executable).with_name("uv"), *arguments])
