"""`scripts/train` as a person runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import mlflow
import pytest

from model import phantom
from model.data import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Train = Callable[..., subprocess.CompletedProcess[str]]

TRAIN = [sys.executable, str(ROOT / "scripts" / "train")]
FIRST = "repeat 1, without fold 1"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A store of its own, relative to which MLflow puts the artifacts."""
    return os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}


@pytest.fixture
def train(tmp_path: Path, environment: dict[str, str]) -> Train:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TRAIN, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_a_folder_that_is_not_there_is_one_line(train: Train, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    done = train("--data", str(nowhere))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"scripts/train: {nowhere} is not a folder.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folds", "2"], "must be a whole number of at least 3, not '2'"),
        (["--seed", "5000000000"], "must be a whole number from 0 to 4294966296"),
        (["--epochs", "0"], "must be a whole number of at least 1, not '0'"),
        (["--repeats", "0"], "must be a whole number from 1 to 100, not '0'"),
        (["--architecture", "perceptron"], "invalid choice: 'perceptron'"),
        (["--kaggle", "--data", "x"], "not allowed with argument"),
    ],
)
def test_a_wrong_argument_is_named(train: Train, arguments: list[str], said: str) -> None:
    done = train(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_its_help_tells_all_that_can_be_chosen(train: Train) -> None:
    done = train("--help")
    assert done.returncode == 0
    options = {word.rstrip(",]") for word in done.stdout.replace("[", " ").split() if word.startswith("--")}
    assert {
        "--data", "--kaggle", "--pretrain", "--quick", "--resume", "--architecture", "--folds", "--repeats",
        "--epochs", "--seed",
    } <= options  # fmt: skip


def test_a_folder_to_pretrain_on_that_is_not_there_is_one_line(train: Train, tmp_path: Path) -> None:
    phantom.write_folder(tmp_path / "images", count=12, seed=0)
    done = train("--quick", "--data", str(tmp_path / "images"), "--pretrain", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert f"scripts/train: {tmp_path / 'nowhere'} is not a folder." in done.stderr
    assert "Traceback" not in done.stderr


def statuses(environment: dict[str, str]) -> dict[str, str]:
    client = mlflow.MlflowClient(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("tumor-detector-phantom")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return {str(run.info.run_name): str(run.info.status) for run in runs}


def test_ctrl_c_leaves_killed_runs_and_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    # Given a training under way
    phantom.write_folder(tmp_path / "images", count=24, seed=0)
    options = ["--quick", "--architecture", "plain_cnn", "--epochs", "2000", "--folds", "3"]
    with subprocess.Popen(
        [*TRAIN, *options, "--data", str(tmp_path / "images")],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        shown = ""
        while "without fold 1" not in shown and process.poll() is None:
            shown += process.stderr.read(1)
        # The bar names a fit before its network is made, and its run begins after that
        deadline = time.monotonic() + 60
        while FIRST not in statuses(environment) and time.monotonic() < deadline:
            time.sleep(0.2)
        # When the person presses Ctrl-C
        process.send_signal(signal.SIGINT)
        try:
            _, after = process.communicate(timeout=60)
        finally:
            process.kill()  # one that does not stop must not be waited for
    # Then it says so without a trace, and its runs are marked
    assert process.returncode == 130
    assert "scripts/train: stopped. Its unfinished runs are marked KILLED" in after
    assert "--resume goes on from them" in after
    assert "Traceback" not in after
    assert statuses(environment) == {"training": "KILLED", "plain_cnn": "KILLED", FIRST: "KILLED"}
