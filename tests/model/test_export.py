from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest

from container import imaging
from container.predictor import NetworkOutputs, Predictor
from container.problem import Problem
from model.data import phantom
from model.release import export as exporting
from model.release import golden
from model.release.export import TOLERANCE, VALIDATION, ExportError, ParityError, export, unpack
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from pathlib import Path

    from model.data.dataset import Dataset
    from model.release.export import Artifact
    from model.release.registry import ModelVersion
    from model.training.train import TrainingResult


@pytest.fixture(scope="module")
def predictor(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(unpack(artifact.path, to=tmp_path_factory.mktemp("served")))


@pytest.fixture
def files(champion: ModelVersion, tmp_path: Path) -> Path:
    """A copy of the files in the champion's run."""
    for folder in ("serving", "parity"):
        mlflow.artifacts.download_artifacts(
            run_id=champion.run_id, artifact_path=folder, dst_path=str(tmp_path / "files")
        )
    return tmp_path / "files"


def logged(champion: ModelVersion, files: Path) -> ModelVersion:
    """The champion with a run that holds these files."""
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(files))
    return replace(champion, run_id=run.info.run_id)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


def test_the_artifact_has_the_reference_of_the_images_that_it_would_answer(
    artifact: Artifact, phantoms: Dataset
) -> None:
    with tarfile.open(artifact.path) as members:
        reference = json.loads(members.extractfile("reference.json").read())  # type: ignore[union-attr]
    statistics = reference["statistics"]
    formats = statistics.pop("format")
    (answered,) = (sum(counts) for counts in formats["counts"].values())
    assert formats["counts"].keys() == set(phantoms.sources)
    assert 0.9 * len(phantoms.scans) <= answered == formats["counts"][phantoms.sources[0]][2]
    assert {*statistics} == {
        "side",
        "grey_spread",
        "sharpness",
        "symmetry",
        "content",
        "probability",
        "score",
    }
    for histogram in statistics.values():
        assert len(histogram["edges"]) == 19
        assert histogram["edges"] == sorted(histogram["edges"])
        (counts,) = histogram["counts"].values()
        assert (len(counts), sum(counts)) == (20, answered)
    # Nothing of the training lies outside the quantiles' edges.
    assert statistics["grey_spread"]["counts"][phantoms.sources[0]][::19] == [0, 0]


def test_two_exports_are_byte_identical(champion: ModelVersion, tmp_path: Path) -> None:
    first, second = (export(champion, to=tmp_path / name) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.size == first.path.stat().st_size
    # And the archive has no times or owners
    with tarfile.open(first.path) as archive:
        members = archive.getmembers()
    files = ["metadata.json", "model-card.md", "model.tflite", "reference.json"]
    assert [member.name for member in members] == files
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644
    assert first.path.read_bytes()[4:8] == bytes(4)  # gzip's own time


def test_serving_agrees_with_the_evaluated_network(
    trained: TrainingResult, artifact: Artifact, predictor: Predictor, phantoms: Dataset
) -> None:
    # Given the outputs that follow from the run's Keras model and the metadata
    metadata = json.loads(json.dumps(artifact.metadata))
    network = mlflow.tensorflow.load_model(trained.model_uri)
    side = metadata["input"]["size"]
    pixels = np.stack([imaging.preprocess(scan.image(), size=side) for scan in phantoms.scans])
    logits, _ = network.predict(pixels, verbose=0)
    calibration = metadata["calibration"]
    expected = sigmoid(calibration["slope"] * logits[:, 0] + calibration["intercept"])
    brains = sigmoid(logits[:, 1])
    accepted = brains >= metadata["refusal"]["threshold"]
    assert accepted.mean() > 0.5
    least = metadata["reliability"]["threshold"]
    # Then the exported model predicts, refuses and doubts the same
    outputs = zip(phantoms.scans, expected, accepted, logits[:, 2], strict=True)
    for scan, probability, is_accepted, familiarity in outputs:
        if not is_accepted:
            with pytest.raises(Problem, match="brain"):
                predictor.predict(scan.path.read_bytes())
            continue
        payload = predictor.predict(scan.path.read_bytes(), heatmap=True)
        assert payload["probability"] == pytest.approx(probability, abs=1e-4)
        assert payload["class"] == (payload["probability"] >= metadata["threshold"])
        assert payload.get("reliability") == ("low" if familiarity < least else None)
        assert payload["heatmap"] is not None
        assert np.shape(payload["heatmap"]["values"]) == (16, 16)


@pytest.mark.parametrize("output", ["tumour", "brain", "familiarity", "evidence"])
def test_an_output_that_differs_a_little_is_not_exported(
    champion: ModelVersion, files: Path, tmp_path: Path, output: str
) -> None:
    # Given Keras's outputs, changed by a little more than the tolerance in one place
    kept = files / "parity" / VALIDATION
    with np.load(kept) as arrays:
        outputs = {name: arrays[name].copy() for name in arrays}
    last = (-1,) * outputs[output].ndim
    outputs[output][last] += 3 * TOLERANCE * max(1, np.abs(outputs[output][-1]).max())
    np.savez(kept, **outputs)
    with pytest.raises(ExportError, match=rf"{output} differs from Keras's .* more than 0\.0001"):
        export(logged(champion, files), to=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_one_of_the_networks_lacks_is_an_error(tmp_path: Path) -> None:
    make_model_dir(tmp_path, logit=2.0, brain_logit=9.0, familiarity=4.0)
    black, logits = np.zeros((2, 32, 32, 1), np.float32), np.full(2, 2.0)
    outputs = NetworkOutputs(logits, logits + 7, None, np.full((2, 8, 8), 2.0))
    exporting.write_validation(tmp_path, pixels=black, outputs=outputs)
    with pytest.raises(ParityError, match=r"only one of .* has the output familiarity"):
        exporting.check_parity(tmp_path, validation=tmp_path)


@pytest.mark.parametrize("name", ["serving/model.tflite", "serving/metadata.json", "parity/validation.npz"])
@pytest.mark.parametrize("damaged", [True, False])
def test_a_damaged_or_missing_file_is_not_exported(
    champion: ModelVersion, files: Path, tmp_path: Path, name: str, *, damaged: bool
) -> None:
    content = (files / name).read_bytes()
    (files / name).unlink()
    if damaged:
        (files / name).write_bytes(content[:100])
    with pytest.raises(ExportError, match=r"cannot be exported.*Run scripts/train again"):
        export(logged(champion, files), to=tmp_path / "out")


def test_golden_answers_are_the_predictions_for_the_phantoms(predictor: Predictor) -> None:
    answers = golden.golden_answers(predictor)
    assert {payload["lesion"] for payload in answers} == {True, False}
    for payload in answers:
        head = phantom.png(seed=payload["seed"], lesion=payload["lesion"])
        if "refused" in payload:
            with pytest.raises(Problem):
                predictor.predict(head)
        else:
            assert payload["probability"] == predictor.predict(head)["probability"]
