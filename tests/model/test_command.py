"""`scripts/train` as a subprocess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import mlflow
import pytest

from model import ROOT
from model.data import phantom
from scripts.commands import train

if TYPE_CHECKING:
    from pathlib import Path

TRAIN = [sys.executable, str(ROOT / "scripts" / "train")]
FIRST = "without fold 1"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with an MLflow store of its own."""
    return os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "2"], "must be a whole number of at least 3, not '2'"),
        (["--seed", "5000000000"], "must be a whole number from 0 to 4294967295"),
        (["--steps", "0"], "must be a whole number of at least 1, not '0'"),
        (["--architecture", "perceptron"], "invalid choice: 'perceptron'"),
        (["--same-patients", "lgg"], "must be SOURCE=OTHER, not 'lgg'"),
    ],
)
def test_an_invalid_argument_is_reported(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        train.main(arguments)
    assert message in capsys.readouterr().err


def test_a_narrow_locale_takes_every_character(environment: dict[str, str]) -> None:
    program = "from scripts.cli import command_parser; command_parser('train', None); print('✓ gate')"
    environment["PYTHONIOENCODING"] = "latin-1"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"\\u2713 gate\n", b"")


def statuses(environment: dict[str, str]) -> dict[str, str]:
    client = mlflow.MlflowClient(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("tumor-detector-phantom")
    if experiment is None:
        return {}
    runs = client.search_runs([experiment.experiment_id])
    return {str(run.info.run_name): str(run.info.status) for run in runs}


def test_ctrl_c_marks_the_runs_killed(environment: dict[str, str], tmp_path: Path) -> None:
    # Given a running training
    phantom.write_folder(tmp_path / "images", count=24, seed=0)
    options = ["--quick", "--architecture", "plain_cnn", "--steps", "20000", "--folds", "3"]
    with subprocess.Popen(
        [*TRAIN, *options, "--data", str(tmp_path / "images")],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 300
        while FIRST not in statuses(environment) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        # When it is interrupted
        process.send_signal(signal.SIGINT)
        try:
            _, after = process.communicate(timeout=60)
        finally:
            process.kill()  # one that does not stop must not be waited for
    # Then it reports that without a traceback, and marks its runs
    assert process.returncode == 130
    assert "scripts/train: stopped. Unfinished runs are marked KILLED" in after
    assert "rerun with --resume to continue" in after
    assert "Traceback" not in after
    assert statuses(environment) == {"training": "KILLED", FIRST: "KILLED"}
