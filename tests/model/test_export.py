from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest

from container.predictor import Predictor
from model import golden, phantom, serving
from model.export import ExportError, export, pack, unpack

if TYPE_CHECKING:
    from model.data import Dataset
    from model.registry import Champion
    from model.train import TrainingResult


@pytest.fixture
def files(champion: Champion, tmp_path: Path) -> Path:
    """A copy of what the champion's run holds."""
    run = mlflow.artifacts.download_artifacts(run_id=champion.run_id, dst_path=str(tmp_path))
    return Path(run)


def logged(champion: Champion, files: Path) -> Champion:
    """The champion, as if its run had held these files."""
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(files))
    return replace(champion, run_id=run.info.run_id)


def test_two_exports_are_the_same_to_the_byte(champion: Champion, tmp_path: Path) -> None:
    first, second = (export(champion, to=tmp_path / name) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.size == first.path.stat().st_size


def test_the_archive_tells_neither_time_nor_owner(champion: Champion, tmp_path: Path) -> None:
    path = export(champion, to=tmp_path).path
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["metadata.json", "model-card.md", "model.tflite"]
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644
    assert path.read_bytes()[4:8] == bytes(4)  # gzip's own time


def test_the_archive_depends_on_content_alone() -> None:
    one, other = {"a": b"1", "b": b"2"}, {"b": b"2", "a": b"1"}
    assert pack(one) == pack(other) != pack({"a": b"1", "b": b"3"})
    assert len(gzip.decompress(pack(one))) % 512 == 0


def test_what_is_unpacked_serves(champion: Champion, tmp_path: Path) -> None:
    served = unpack(export(champion, to=tmp_path).path, to=tmp_path / "model")
    answer = Predictor.load(served).predict(phantom.png(seed=1, lesion=True), heatmap=True)
    assert 0 <= answer["probability"] <= 1
    assert answer["heatmap"] is not None
    assert len(answer["heatmap"]["values"]) == 16


def test_serving_agrees_with_the_network_that_was_measured(
    champion: Champion, phantoms: Dataset, tmp_path: Path
) -> None:
    # Given the exported model and the Keras model of the registry
    artifact = export(champion, to=tmp_path)
    keras_model = mlflow.tensorflow.load_model(f"models:/{champion.name}/{champion.version}")
    metadata = json.loads(json.dumps(artifact.metadata))
    predictor = Predictor.load(unpack(artifact.path, to=tmp_path / "model"))
    # When both judge the same files
    logits = keras_model.predict(phantoms.pixels(metadata["input"]["size"]), verbose=0)[0][:, 0]
    calibration = metadata["calibration"]
    expected = 1 / (1 + np.exp(-(calibration["slope"] * logits + calibration["intercept"])))
    served = [predictor.predict(scan.path.read_bytes()) for scan in phantoms.scans]
    # Then they say the same
    np.testing.assert_allclose([answer["probability"] for answer in served], expected, atol=1e-4)
    assert [answer["class"] for answer in served] == (expected >= metadata["threshold"]).astype(int).tolist()


def test_the_metadata_says_what_serving_and_the_release_need(champion: Champion, tmp_path: Path) -> None:
    metadata = json.loads(json.dumps(export(champion, to=tmp_path).metadata))
    assert metadata["schema"] == 1
    assert metadata["labels"] == ["NO", "YES"]
    assert metadata["name"] == champion.name
    assert metadata["dataset"]["kind"] == "phantom"
    assert metadata["dataset"]["fingerprint"] == champion.dataset_fingerprint
    assert metadata["mlflow"] == {"experiment": "tumor-detector-phantom", "run_id": champion.run_id}
    assert metadata["metrics"] == champion.metrics
    assert 0 < metadata["threshold"] < 1
    assert metadata["known_answer"]["input"] == "ramp"


def test_another_networks_file_is_not_exported(
    trained: TrainingResult, champion: Champion, files: Path, tmp_path: Path
) -> None:
    # Given the champion's files with the other architecture's network and its known answer
    other = next(each for each in trained.candidates if each.run_id != champion.run_id)
    stranger = Path(
        mlflow.artifacts.download_artifacts(
            run_id=other.run_id, artifact_path="serving", dst_path=str(tmp_path / "o")
        )
    )
    shutil.copytree(stranger, files / "serving", dirs_exist_ok=True)
    # Then what Keras said gives it away
    with pytest.raises(ExportError, match=r"logits differ from Keras's by up to .* validation images"):
        export(logged(champion, files), to=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_that_differs_a_little_is_not_exported(
    champion: Champion, files: Path, tmp_path: Path
) -> None:
    # Given what Keras said, off by little more than the tolerance on one image
    kept = files / "parity" / serving.VALIDATION
    with np.load(kept) as arrays:
        greys, logits = arrays["greys"], arrays["logits"].copy()
    logits[-1] += 3 * serving.TOLERANCE * max(1, abs(logits[-1]))
    np.savez(kept, greys=greys, logits=logits)
    with pytest.raises(ExportError, match=r"more than 0\.0001"):
        export(logged(champion, files), to=tmp_path)


@pytest.mark.parametrize("name", ["serving/model.tflite", "serving/metadata.json", "parity/validation.npz"])
def test_a_damaged_file_is_not_exported(champion: Champion, files: Path, tmp_path: Path, name: str) -> None:
    (files / name).write_bytes((files / name).read_bytes()[:100])
    with pytest.raises(ExportError, match=r"cannot be exported.*Run scripts/train again"):
        export(logged(champion, files), to=tmp_path)


@pytest.mark.parametrize("folder", ["serving", "parity"])
def test_missing_files_are_not_exported(champion: Champion, files: Path, tmp_path: Path, folder: str) -> None:
    shutil.rmtree(files / folder)
    with pytest.raises(ExportError, match="cannot be exported"):
        export(logged(champion, files), to=tmp_path)


def test_golden_answers_are_what_the_model_says_to_the_phantoms(champion: Champion, tmp_path: Path) -> None:
    predictor = Predictor.load(unpack(export(champion, to=tmp_path).path, to=tmp_path / "model"))
    answers = golden.golden_answers(predictor)
    assert {answer["lesion"] for answer in answers} == {True, False}
    for answer in answers:
        said = predictor.predict(phantom.png(seed=answer["seed"], lesion=answer["lesion"]))
        assert answer["probability"] == said["probability"]
