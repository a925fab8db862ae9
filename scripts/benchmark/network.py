"""The network that all servers and engines share: where its forms lie, and how they come to be."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

from scripts.benchmark.places import HOME, ROOT, BenchmarkError
from scripts.delivery.console import step

FOLDER = HOME / "network"
SERVING = FOLDER / "serving"
"""model.tflite, metadata.json and the card, as training wrote them."""
KERAS = FOLDER / "network.keras"
SAVED_MODEL = FOLDER / "saved_model"
MLFLOW_KERAS = FOLDER / "mlflow_keras"
"""The Keras model as training logged it to MLflow."""
LITERT = FOLDER / "litert"
"""The network in LiteRT's number formats, for the engine table."""
EXPECTED = FOLDER / "expected.json"
"""What Keras says of each image; written last."""
JUDGED = FOLDER / "judged.npz"
_LOG = HOME / "logs" / "training.log"


_SOURCES = ("container/imaging.py", "container/refusal.py", "model/*.py", "scripts/benchmark/forms.py",
            "scripts/benchmark/images.py", "scripts/benchmark/training.py")  # fmt: skip
"""What decides the network and what it says."""


def ensure() -> None:
    """Train the network and write its forms, unless they are there as the sources have them.

    Raises
    ------
    BenchmarkError
        With where the training's log lies.
    """
    sources, stamp = _sources(), FOLDER / "sources.sha256"
    if EXPECTED.is_file() and stamp.is_file() and stamp.read_text() == sources:
        return
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    with step("training the network on phantoms and converting it (a few minutes)"), _LOG.open("wb") as log:
        command = [sys.executable, "-m", "scripts.benchmark.training"]
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise BenchmarkError(
                f"the training failed; {_LOG.relative_to(ROOT)} says why. Then run this again."
            )
    stamp.write_text(sources)


def _sources() -> str:
    """SHA-256 over all sources that the network comes from."""
    files = sorted(path for pattern in _SOURCES for path in ROOT.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def expected() -> dict[str, float]:
    """Keras's probability of each image, by the image's name."""
    said: dict[str, float] = json.loads(EXPECTED.read_text())
    return said


def fingerprint() -> str:
    """SHA-256 of the network as it serves: figures of two networks do not belong into one table."""
    return hashlib.sha256((SERVING / "model.tflite").read_bytes()).hexdigest()
