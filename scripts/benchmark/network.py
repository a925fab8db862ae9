"""The model that all targets serve: trained on phantoms by the public command, briefly, then kept."""

from __future__ import annotations

import hashlib
import io
import os
import shutil

import mlflow
from pydicom import uid

from container.predictor import Predictor
from infra.paths import ROOT
from model.data import phantom
from scripts.benchmark import HOME
from scripts.benchmark.dicom_files import dicom
from scripts.benchmark.load import Payload
from scripts.console import step
from scripts.delivery.program import output

DICOM_SYNTAXES = (uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1, uid.JPEG2000Lossless)
SIZES = (225, 512)  # pixels of an image's height; the width follows from the head
FOLDER = HOME / "network"
SERVING = FOLDER / "serving"
"""model.tflite and metadata.json, as training wrote them."""
_SOURCES = ("container/*.py", "model/**/*.py")  # decide what the network is


def ensure() -> None:
    """Train the network, unless that is done with these sources."""
    files = sorted(path for pattern in _SOURCES for path in ROOT.glob(pattern))
    stamp = FOLDER / "sources.sha256"
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    if stamp.is_file() and stamp.read_text() == sources:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    store, images = f"sqlite:///{FOLDER / 'mlflow.db'}", FOLDER / "phantoms"
    phantom.write_folder(images, count=96, seed=2_000_000)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store}
    command = [str(ROOT / "scripts" / "train"), "--folds=3", "--steps=20", f"--data={images}"]
    with step("training the network on phantoms (a few minutes)"):
        output("scripts/train", command, env=environment)
    [registered] = mlflow.MlflowClient(store).search_registered_models()
    run_id = registered.latest_versions[0].run_id
    mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path="serving", dst_path=str(FOLDER), tracking_uri=store
    )
    stamp.write_text(sources)


def draw(size: int) -> Payload:
    """Draw the phantom that every target classifies; the same size always gives the same bytes."""
    buffer = io.BytesIO()
    phantom.draw(seed=7, lesion=True, size=size).save(buffer, format="JPEG", quality=90)
    return Payload(buffer.getvalue(), "image/jpeg")


def pictures() -> dict[str, Payload]:
    """Draw the phantom as a JPEG of each size."""
    return {f"JPEG, {size} px": draw(size) for size in SIZES}


def forms() -> dict[str, Payload]:
    """Encode the drawn phantom of the larger size as pictures and, with 12 bits, as DICOM files."""
    scan = phantom.draw(seed=7, lesion=True, size=SIZES[-1])
    dicom_files = {f"DICOM, {syntax.name}": dicom(scan, syntax=syntax) for syntax in DICOM_SYNTAXES}
    return {
        f"JPEG, {SIZES[-1]} px": draw(SIZES[-1]),
        f"PNG, {SIZES[-1]} px": Payload(phantom.png(seed=7, lesion=True, size=SIZES[-1]), "image/png"),
        **{name: Payload(data, "application/dicom") for name, data in dicom_files.items()},
    }


def expected(payload: Payload) -> float:
    """Return the probability that every target must answer."""
    return float(Predictor.load(SERVING).predict(payload.body)["probability"])
