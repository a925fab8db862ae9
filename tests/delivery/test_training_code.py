"""The images, the source and the packages that a training job gets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

import pytest

from infra.paths import ROOT
from scripts.training_job import pipeline
from tests.infra.test_imports import imports, module_of, modules

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job") / "code"
    pipeline.pack_source(folder)
    return folder


@pytest.fixture(scope="module")
def held(packed: Path) -> set[str]:
    """Names of the packed modules."""
    return {module_of(path) for path in files(packed) if path.endswith(".py")}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def normalised(names: list[str]) -> set[str]:
    return {name.lower().replace("_", "-") for name in names}


def required(packed: Path) -> set[str]:
    text = (packed / "requirements.txt").read_text()
    return normalised(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))


def test_only_files_of_class_folders_are_uploaded(tmp_path: Path) -> None:
    used = {".phantom", "yes/1.png", "no/2.png"}
    for name in {*used, "letters/to_a_patient.txt", "README.txt", "yes/.DS_Store", ".cache/yes/1.png"}:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    found = pipeline.images_of(tmp_path / "set", "data")
    assert {path.relative_to(tmp_path / "set").as_posix() for path in found} == used


def test_the_command_runs_from_the_packed_source_alone(packed: Path) -> None:
    command = [sys.executable, "-B", "-m", "scripts.commands.train", "--help"]
    done = subprocess.run(command, cwd=packed, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--folds" in done.stdout


def test_no_imported_module_is_missing(held: set[str]) -> None:
    wanted = set().union(*(imports()[module] for module in held)) & modules().keys()
    assert {"model.training.train", "container.imaging", "scripts.console"} <= wanted
    assert wanted - held == {"scripts.training_job.pipeline"}  # a job starts none


def test_every_package_that_is_imported_is_required(packed: Path, held: set[str]) -> None:
    tops = {target.split(".")[0] for module in held for target in imports()[module]}
    distributions = packages_distributions()
    for name in tops - {"model", "container", "scripts", "infra"} - sys.stdlib_module_names:
        assert normalised(distributions.get(name, [])) & required(packed), name


def test_other_files_of_the_checkout_are_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, job = tmp_path / "checkout", tmp_path / "code"
    for name in (pipeline.LOCK, *pipeline.SOURCE_FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    kept = {"model/training/train.py", "model/names.json", "container/imaging.py"}
    left = {
        "data/yes/patient.jpg", "model/patient.jpg", "model/notes.npz", "model/.secrets.json", ".env",
        "model/__pycache__/train.cpython-311.pyc", "model/.cache/x.py", "container/Dockerfile", "tests/x.py",
        "container/w.keras", ".venv/x.py", "mlruns/mlflow.db", "infra/app.py", "scripts/deploy",
        "scripts/_setup.py",
    }  # fmt: skip
    for name in kept | left:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    monkeypatch.setattr(pipeline, "ROOT", root)
    pipeline.pack_source(job)
    assert files(job) == kept | {*pipeline.SOURCE_FILES, "requirements.txt"}
    assert (job / "requirements.txt").read_text() == (root / pipeline.LOCK).read_text()
