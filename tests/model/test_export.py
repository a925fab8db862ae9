from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest

from container.predictor import Predictor
from container.problem import Problem
from model import golden, phantom, serving
from model.export import ExportError, export, pack, unpack
from model.pictures import Pictures

if TYPE_CHECKING:
    from pathlib import Path

    from model.data import Dataset
    from model.export import Artifact
    from model.metadata import Metadata
    from model.registry import Champion
    from model.train import TrainingResult


@pytest.fixture(scope="module")
def artifact(champion: Champion, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(champion, to=tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def served(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(artifact.path, to=tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def predictor(served: Path) -> Predictor:
    return Predictor.load(served)


@pytest.fixture
def files(champion: Champion, tmp_path: Path) -> Path:
    """A copy of what the champion's run holds."""
    for folder in ("serving", "parity"):
        mlflow.artifacts.download_artifacts(
            run_id=champion.run_id, artifact_path=folder, dst_path=str(tmp_path / "files")
        )
    return tmp_path / "files"


def logged(champion: Champion, files: Path) -> Champion:
    """The champion, as if its run had held these files."""
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(files))
    return replace(champion, run_id=run.info.run_id)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


def test_two_exports_are_the_same_to_the_byte(champion: Champion, tmp_path: Path) -> None:
    first, second = (export(champion, to=tmp_path / name) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.size == first.path.stat().st_size


def test_the_archive_tells_neither_time_nor_owner(artifact: Artifact) -> None:
    with tarfile.open(artifact.path) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["metadata.json", "model-card.md", "model.tflite"]
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644
    assert artifact.path.read_bytes()[4:8] == bytes(4)  # gzip's own time


def test_the_archive_depends_on_content_alone() -> None:
    one, other = {"a": b"1", "b": b"2"}, {"b": b"2", "a": b"1"}
    assert pack(one) == pack(other) != pack({"a": b"1", "b": b"3"})
    assert len(gzip.decompress(pack(one))) % 512 == 0


def test_the_card_travels_in_the_archive(artifact: Artifact, served: Path) -> None:
    assert (served / serving.CARD).read_text(encoding="utf-8") == artifact.card
    assert artifact.card.startswith("# Model card: tumor-detector-phantom")


def test_serving_agrees_with_the_network_that_was_measured(
    trained: TrainingResult, artifact: Artifact, predictor: Predictor, phantoms: Dataset
) -> None:
    # Given the Keras model of the run, and what follows from its logits by the metadata
    metadata = json.loads(json.dumps(artifact.metadata))
    network = mlflow.tensorflow.load_model(trained.model_uri)
    judgement, _ = network.predict(
        Pictures(phantoms.scans, seed=0).pixels(metadata["input"]["size"]), verbose=0
    )
    calibration = metadata["calibration"]
    expected = sigmoid(calibration["slope"] * judgement[:, 0] + calibration["intercept"])
    brains = sigmoid(judgement[:, 1])
    taken = brains >= metadata["refusal"]["threshold"]
    assert taken.mean() > 0.5
    # When the exported one judges the same files, then it says the same and refuses the same
    for scan, probability, is_taken in zip(phantoms.scans, expected, taken, strict=True):
        if not is_taken:
            with pytest.raises(Problem, match="brain"):
                predictor.predict(scan.path.read_bytes())
            continue
        answer = predictor.predict(scan.path.read_bytes(), heatmap=True)
        assert answer["probability"] == pytest.approx(probability, abs=1e-4)
        assert answer["class"] == (answer["probability"] >= metadata["threshold"])
        assert answer["heatmap"] is not None
        assert np.shape(answer["heatmap"]["values"]) == (16, 16)


def test_the_metadata_says_what_serving_and_the_release_need(champion: Champion, artifact: Artifact) -> None:
    metadata = json.loads(json.dumps(artifact.metadata))
    assert metadata["schema"] == 2
    assert metadata["labels"] == ["NO", "YES"]
    assert (metadata["name"], metadata["architecture"]) == (champion.name, champion.architecture)
    assert metadata["dataset"]["kind"] == "phantom"
    assert metadata["dataset"]["fingerprint"] == champion.dataset_fingerprint
    assert metadata["mlflow"] == {"experiment": "tumor-detector-phantom", "run_id": champion.run_id}
    assert metadata["metrics"] == champion.metrics
    assert 0 < metadata["threshold"] < 1
    assert 0 < metadata["refusal"]["threshold"] < 1
    assert metadata["heatmap"] == {"width": 16, "height": 16}
    assert metadata["pretraining"] is None
    assert metadata["split"] == {"folds": 3, "repeats": 1, "held_out": len(champion.holdout())}
    assert metadata["known_answer"]["input"] == "ramp"


def test_what_keras_said_is_kept_of_every_output(files: Path, artifact: Artifact) -> None:
    side = artifact.metadata["input"]["size"]
    with np.load(files / "parity" / serving.VALIDATION) as kept:
        assert set(kept) == {"greys", "tumour", "brain", "evidence"}
        count = len(kept["greys"])
        assert count > 0
        assert (kept["greys"].shape, kept["greys"].dtype) == ((count, side, side, 1), np.uint8)
        assert kept["tumour"].shape == kept["brain"].shape == (count,)
        assert (len(kept["evidence"]), kept["evidence"].ndim) == (count, 3)


def test_another_networks_file_is_not_exported(
    trained: TrainingResult, champion: Champion, artifact: Artifact, files: Path, tmp_path: Path
) -> None:
    # Given a network of other weights in the champion's place, with its own known answer
    stranger = mlflow.tensorflow.load_model(trained.model_uri)
    stranger.set_weights([weight * 1.01 for weight in stranger.get_weights()])
    metadata: Metadata = artifact.metadata
    serving.write(files / "serving", network=stranger, metadata=metadata, card=artifact.card)
    Predictor.load(files / "serving")  # it would serve
    # Then what Keras said gives it away
    with pytest.raises(ExportError, match=r"differs from Keras's by up to .* validation images"):
        export(logged(champion, files), to=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("output", ["tumour", "brain", "evidence"])
def test_an_output_that_differs_a_little_is_not_exported(
    champion: Champion, files: Path, tmp_path: Path, output: str
) -> None:
    # Given what Keras said, off by little more than the tolerance in one place
    kept = files / "parity" / serving.VALIDATION
    with np.load(kept) as arrays:
        said = {name: arrays[name].copy() for name in arrays}
    last = (-1,) * said[output].ndim
    said[output][last] += 3 * serving.TOLERANCE * max(1, np.abs(said[output][-1]).max())
    np.savez(kept, **said)
    with pytest.raises(ExportError, match=rf"{output} differs from Keras's .* more than 0\.0001"):
        export(logged(champion, files), to=tmp_path / "out")


@pytest.mark.parametrize("name", ["serving/model.tflite", "serving/metadata.json", "parity/validation.npz"])
def test_a_damaged_file_is_not_exported(champion: Champion, files: Path, tmp_path: Path, name: str) -> None:
    (files / name).write_bytes((files / name).read_bytes()[:100])
    with pytest.raises(ExportError, match=r"cannot be exported.*Run scripts/train again"):
        export(logged(champion, files), to=tmp_path / "out")


@pytest.mark.parametrize("folder", ["serving", "parity"])
def test_missing_files_are_not_exported(champion: Champion, files: Path, tmp_path: Path, folder: str) -> None:
    shutil.rmtree(files / folder)
    with pytest.raises(ExportError, match="cannot be exported"):
        export(logged(champion, files), to=tmp_path / "out")


def test_golden_answers_are_what_the_model_says_to_the_phantoms(predictor: Predictor) -> None:
    answers = golden.golden_answers(predictor)
    assert {answer["lesion"] for answer in answers} == {True, False}
    for answer in answers:
        head = phantom.png(seed=answer["seed"], lesion=answer["lesion"])
        if "refused" in answer:
            with pytest.raises(Problem):
                predictor.predict(head)
        else:
            assert answer["probability"] == predictor.predict(head)["probability"]
