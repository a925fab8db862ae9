"""A job gets the source that training needs, the packages that this source needs, and nothing else."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

import pytest

from scripts.delivery import training_code
from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

OWN = {"model", "container", "scripts", "_setup"}
# What only submits a job is not needed within one.
SUBMITTING = {"scripts.delivery.training_submit", "scripts.delivery.training_watch"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job") / "code"
    training_code.pack(folder, managed_mlflow=False)
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def imported(path: Path, root: Path) -> set[str]:
    """Modules that a file imports, those within functions too."""
    package = path.relative_to(root).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def sources(folder: Path) -> list[Path]:
    return [*folder.rglob("*.py"), folder / "scripts" / "train"]


def pinned(text: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))


def test_the_command_starts_from_what_is_packed_alone(packed: Path, tmp_path: Path) -> None:
    # It imports all but TensorFlow, and makes no .venv: the job's own set-up stands in for the project's.
    done = subprocess.run(
        [sys.executable, "-B", str(packed / "scripts" / "train"), "--help"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "--folds" in done.stdout
    assert not (packed / ".venv").exists()


def is_module(name: str, root: Path) -> bool:
    path = root / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_no_module_of_ours_is_missing(packed: Path) -> None:
    wanted = {
        name
        for path in sources(packed)
        for name in imported(path, packed) - SUBMITTING
        if name.split(".")[0] in OWN | {"infra"} and is_module(name, training_code.ROOT)
    }
    assert {"model.train", "container.imaging", "scripts.delivery.console"} <= wanted
    assert [name for name in sorted(wanted) if not is_module(name, packed)] == []


def test_every_package_that_is_imported_is_required(packed: Path) -> None:
    required = {name.lower().replace("_", "-") for name in pinned((packed / "requirements.txt").read_text())}
    distributions = packages_distributions()
    for path in sources(packed):
        for name in {name.split(".")[0] for name in imported(path, packed)}:
            if name not in OWN | sys.stdlib_module_names:
                by = {each.lower().replace("_", "-") for each in distributions.get(name, [])}
                assert by & required, f"{path.relative_to(packed)} imports {name}"


def test_packages_are_exact_and_none_but_trainings(packed: Path) -> None:
    text = (packed / "requirements.txt").read_text()
    names = pinned(text)
    assert {"tensorflow", "mlflow", "boto3", "ai-edge-litert", "sqlalchemy", "alembic"} <= names
    assert not {"aws-cdk-lib", "mypy", "pytest", "playwright", "sagemaker", "moto", "ministack"} & names
    for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        assert re.match(r"[\w.-]+(\[.*\])?==\S+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+\Z", block), block


def test_versions_are_the_locks() -> None:
    locked = (training_code.ROOT / "requirements.lock").read_text()
    for line in training_code.requirements(managed_mlflow=True).splitlines():
        assert line in locked


def test_a_package_that_is_not_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(training_code.ROOT / "requirements.lock", tmp_path)
    (tmp_path / "requirements.in").write_text("# Training\nNew_Network\ntqdm\n\n# Checks\nabsent\n")
    monkeypatch.setattr(training_code, "ROOT", tmp_path)
    with pytest.raises(DeliveryError, match=r"has no new-network: run `scripts/lock`"):
        training_code.requirements(managed_mlflow=False)


def test_nothing_of_the_readers_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a checkout in which people have worked
    root, job = tmp_path / "checkout", tmp_path / "code"
    for name in ("requirements.in", "requirements.lock", *training_code.FILES, training_code.SET_UP[0]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(training_code.ROOT / name, root / name)
    kept = {"model/train.py", "model/negatives/pages.py", "model/names.json", "container/imaging.py"}
    left = {
        "data/yes/patient.jpg", "model/patient.jpg", "model/notes.npz", "model/.secrets.json", ".env",
        "model/__pycache__/train.cpython-311.pyc", "model/.cache/x.py", "container/Dockerfile", "tests/x.py",
        "container/w.keras", ".venv/x.py", "mlruns/mlflow.db", "infra/app.py", "scripts/deploy",
        "scripts/_setup.py",
    }  # fmt: skip
    for name in kept | left:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    monkeypatch.setattr(training_code, "ROOT", root)
    # When
    training_code.pack(job, managed_mlflow=False)
    # Then
    assert files(job) == kept | {*training_code.FILES, "scripts/_setup.py", "requirements.txt"}
    assert (job / "scripts" / "_setup.py").read_text() == (root / training_code.SET_UP[0]).read_text()
