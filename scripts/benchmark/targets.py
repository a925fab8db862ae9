"""What is measured: the project's server, earlier versions of it, and its peers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.paths import ROOT
from scripts.benchmark import CORES, HOME, environments, network, processes
from scripts.benchmark.environments import OURS, PEERS
from scripts.benchmark.load import Payload
from scripts.console import DeliveryError, step

if TYPE_CHECKING:
    from pathlib import Path

LOWER_BOUND = "lower bound"  # decode and inference alone
BASELINE = "baseline"
_PACKED = HOME / "mlflow_model"


@dataclass(frozen=True)
class Target:
    """A server to measure, and how to start it.

    Attributes
    ----------
    locks
        Lock files of its environment.
    command
        With {bin}, {port} and {workers} to fill in; {bin} is the environment's folder of programs.
    path, ping
        Where images are posted to, and what answers GET once the server is up.
    payload
        How an image is sent: as it is, or as base64 in one of two kinds of JSON.
    root
        The folder that its code is imported from.
    prepare
        A command to run once before, with {bin} to fill in.
    """

    name: str
    title: str
    locks: tuple[Path, ...]
    command: tuple[str, ...]
    path: str = "/invocations"
    ping: str = "/ping"
    payload: str = "raw"
    root: Path = ROOT
    prepare: tuple[str, ...] = ()

    def environment(self, port: int) -> dict[str, str]:
        """Return the variables to start it with."""
        return {
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
            "MODEL_DIR": str(network.SERVING),
            "BIND_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(CORES),
            "SAVED_MODEL": str(network.SAVED_MODEL),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # Workers that each used every core for one inference would compete for them.
            "TF_NUM_INTRAOP_THREADS": "1",
        }

    def ready(self) -> Path:
        """Install its environment and prepare it; return the environment's folder of programs."""
        programs = environments.ensure(self.name, self.locks)
        if self.prepare:
            command = [part.format(bin=programs) for part in self.prepare]
            with step(f"preparing {self.title}"):
                variables = {**os.environ, **self.environment(0)}
                processes.output(f"preparing {self.title}", command, env=variables)
        return programs

    def pack(self, image: Payload) -> Payload:
        """Turn an image into the request that the server takes."""
        if self.payload == "raw":
            return image
        encoded = base64.b64encode(image.body).decode()
        document: object = {"image": encoded}
        if self.payload == "dataframe":
            document = {"dataframe_split": {"columns": ["image"], "data": [[encoded]]}}
        return Payload(json.dumps(document).encode(), "application/json")

    def probability(self, body: bytes) -> float:
        """Read the probability of a tumour from a response."""
        document = json.loads(body)
        return float(document["predictions"][0] if self.payload == "dataframe" else document["probability"])


OUR_SERVER = ("{bin}/python", "-m", "container", "serve")
TARGETS = (
    Target("ours", "this server", (OURS,), OUR_SERVER),
    Target(
        "gunicorn", "gunicorn over our predictor", (OURS, PEERS / "gunicorn.lock"),
        ("{bin}/gunicorn", "--preload", "--workers={workers}", "--bind=127.0.0.1:{port}",
         "scripts.benchmark.peers.wsgi:app"),
    ),
    Target(
        "litserve", "LitServe over our predictor", (PEERS / "litserve.lock",),
        ("{bin}/python", "-m", "scripts.benchmark.peers.litserve_server", "{port}", "{workers}"),
        path="/predict", ping="/health", payload="json",
    ),
    Target(
        "mlflow", "MLflow over our predictor", (PEERS / "mlflow.lock",),
        ("{bin}/mlflow", "models", "serve", f"--model-uri={_PACKED}", "--env-manager=local",
         "--host=127.0.0.1", "--port={port}", "--workers={workers}"),
        payload="dataframe",
        prepare=("{bin}/python", str(PEERS / "mlflow_model.py"), str(_PACKED)),
    ),
    Target(
        "fastapi", "FastAPI over TensorFlow", (PEERS / "fastapi.lock",),
        ("{bin}/uvicorn", "scripts.benchmark.peers.fastapi_server:app", "--host=127.0.0.1",
         "--port={port}", "--workers={workers}", "--log-level=warning"),
        path="/predict",
    ),
)  # fmt: skip


def baseline(commit: str) -> Target:
    """Make a target of the project's server as of another commit."""
    done = subprocess.run(["git", "archive", commit, "container"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise DeliveryError(f"--baseline {commit} is not a commit with a container/")
    root = HOME / "baselines" / hashlib.sha256(done.stdout).hexdigest()[:12]
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(root, filter="data")
    locks = (root / "container" / "requirements.lock",)
    return Target(BASELINE, f"this server at {commit}", locks, OUR_SERVER, root=root)
