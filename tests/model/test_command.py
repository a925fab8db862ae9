"""`scripts/train` as a person runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import mlflow
import pytest

from model import phantom
from model.data import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRAIN = [sys.executable, str(ROOT / "scripts" / "train")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A store of its own, relative to which MLflow puts the artifacts."""
    return os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}


@pytest.fixture
def train(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TRAIN, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_a_folder_that_is_not_there_is_one_line(
    train: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    done = train("--data", str(nowhere))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"scripts/train: {nowhere} is not a folder.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folds", "1"], "must be a whole number of at least 2, not '1'"),
        (["--seed", "5000000000"], "must be a whole number from 0 to 4294967295"),
        (["--epochs", "0"], "must be a whole number of at least 1, not '0'"),
        (["--architecture", "perceptron"], "invalid choice: 'perceptron'"),
        (["--kaggle", "--data", "x"], "not allowed with argument"),
    ],
)
def test_a_wrong_argument_is_named(
    train: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], said: str
) -> None:
    done = train(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_ctrl_c_leaves_killed_runs_and_one_line(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a training under way
    phantom.write_folder(tmp_path / "images", count=24, seed=0)
    with subprocess.Popen(
        [*TRAIN, "--quick", "--epochs", "2000", "--data", str(tmp_path / "images")],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        shown = ""
        while "loss" not in shown and process.poll() is None:
            shown += process.stderr.read(1) if process.stderr else ""
        # When the person presses Ctrl-C
        process.send_signal(signal.SIGINT)
        _, after = process.communicate(timeout=60)
    # Then it says so without a trace, and its runs are marked
    assert process.returncode == 130
    assert "scripts/train: stopped. Its unfinished runs are marked KILLED" in after
    assert "Traceback" not in after
    client = mlflow.MlflowClient(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("tumor-detector-phantom")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name: run.info.status for run in runs} == {"plain_cnn": "KILLED", "fold 1": "KILLED"}
