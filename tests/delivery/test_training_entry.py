"""A training job's entry point, as a process: the job's folders and settings become `scripts/train`'s."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.constructs.training_pipeline import DEFINITION
from scripts.training_job import entry as training_entry

# Records its arguments, with the name and files of each folder, then runs what the test appends.
TRAIN = """
import json, os, pathlib, sys
def content(argument):
    folder = pathlib.Path(argument)
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    return [folder.name, *sorted(files)] if folder.is_dir() else argument
pathlib.Path(os.environ["SEEN"]).write_text(json.dumps([content(each) for each in sys.argv[1:]]))
"""
WAIT = """
import signal, time
try:
    print("training", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped cleanly", flush=True)
    sys.exit(130)
"""


class Machine:
    """A folder like `/opt/ml` in a job."""

    def __init__(self, ml: Path) -> None:
        self.ml = ml
        self.seen_file = ml.parent / "seen.json"
        self.environment = os.environ | {
            "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
            "SM_INPUT_CONFIG_DIR": str(ml / "input" / "config"),
            "SM_OUTPUT_FAILURE": str(ml / "output" / "failure"),
            "SEEN": str(self.seen_file),
        }
        self.write("data/code/scripts/training_job/entry.py", Path(training_entry.__file__).read_text())
        self.configure("hyperparameters", {"arguments": "[]"})
        self.train("")

    def write(self, path: str, content: str | bytes) -> None:
        target = self.ml / "input" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def train(self, then: str) -> None:
        self.write("data/code/scripts/commands/train.py", TRAIN + then)

    def channel(self, name: str, *, original: str, paths: tuple[str, ...]) -> None:
        for path in paths:
            self.write(f"data/{training_entry.INPUTS}/{name}/{original}/{path}", path)

    def configure(self, name: str, values: object) -> None:
        self.write(f"config/{name}.json", json.dumps(values))

    def start(self, command: list[str] | None = None) -> subprocess.Popen[str]:
        entry = str(self.ml / "input/data/code/scripts/training_job/entry.py")
        return subprocess.Popen(
            command or [sys.executable, entry],
            cwd=self.ml, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self) -> subprocess.CompletedProcess[str]:
        with self.start() as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def received(self) -> list[object]:
        return list(json.loads(self.seen_file.read_text()))

    @property
    def failure(self) -> str | None:
        path = self.ml / "output" / "failure"
        return path.read_text() if path.is_file() else None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in [name for name in os.environ if name.startswith("SM_")]:
        monkeypatch.delenv(name)
    return Machine(tmp_path / "ml")


def test_channels_and_arguments_become_options(machine: Machine) -> None:
    machine.configure("hyperparameters", {"arguments": '["--quick", "--folds=3", "--steps", "4"]'})
    machine.channel("data", original="my scans", paths=("yes/1.jpg", "no/2.jpg", ".phantom"))
    machine.channel("data_2", original="healthy", paths=("no/2.jpg",))
    machine.channel("masks", original="shapes", paths=("1.jpg.png",))
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.received == [
        *("--quick", "--folds=3", "--steps", "4"),
        *("--data", ["my scans", ".phantom", "no/2.jpg", "yes/1.jpg"]),
        *("--data", ["healthy", "no/2.jpg"]),
        *("--masks", ["shapes", "1.jpg.png"]),
    ]
    assert machine.failure is None


def test_a_failure_leaves_the_end_of_its_output(machine: Machine) -> None:
    machine.train("print('fold 1', end='\\r'); print('x' * 2000); sys.exit('a class has 2 groups')")
    done = machine.run()
    assert done.returncode == 1
    assert "fold 1\n" in done.stdout  # a progress bar's steps are lines of the job's log
    assert machine.failure == "x" * 1003 + "\na class has 2 groups"  # SageMaker reads 1024 characters


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("sys.exit(7)", 7, ""),
        ("os.kill(os.getpid(), 9)", 128 + 9, "out of memory: set a larger instance_type in [training]."),
    ],
)
def test_the_exit_status_is_passed_on_and_a_kill_explained(
    machine: Machine, end: str, status: int, reason: str
) -> None:
    machine.train(end)
    assert machine.run().returncode == status
    assert machine.failure is not None
    assert machine.failure.endswith(reason)


@pytest.mark.parametrize(
    ("environment", "hyperparameters", "reason"),
    [
        ({"MLFLOW_TRACKING_URI": ""}, {}, "MLFLOW_TRACKING_URI is not set"),
        ({}, {"quick": "true"}, "does not hold a JSON list as 'arguments'"),
        ({}, {"arguments": "--quick"}, "does not hold a JSON list as 'arguments'"),
    ],
)
def test_an_invalid_job_does_not_train(
    machine: Machine, environment: dict[str, str], hyperparameters: object, reason: str
) -> None:
    machine.environment |= environment
    machine.configure("hyperparameters", hyperparameters)
    done = machine.run()
    assert done.returncode == 2
    assert machine.failure is not None
    assert reason in machine.failure
    assert reason in done.stderr
    assert not machine.seen_file.exists()


def test_the_pipelines_command_installs_the_packages_and_passes_on_sigterm(
    machine: Machine, tmp_path: Path
) -> None:
    # Given a machine as the pipeline's definition lays it out, whose Python records what it installs
    (step,) = json.loads(DEFINITION.read_text())["Steps"]
    folder = str(machine.ml / "input" / "data")
    command = [
        word.replace("/opt/ml/input/data/run", folder)
        for word in step["Arguments"]["AlgorithmSpecification"]["ContainerEntrypoint"]
    ]
    machine.train(WAIT)
    machine.write("data/code/requirements.txt", "locked")
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(
        f'#!/bin/sh\n[ "$2" = pip ] && exec cp "$6" "$SEEN.pip"\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    machine.environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}"
    # When SageMaker stops it
    with machine.start(command) as process:
        assert process.stdout
        while process.stdout.readline() != "training\n":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    # Then training stopped cleanly, which is no failure: no shell intercepted the signal
    assert (process.returncode, rest) == (130, "stopped cleanly\n")
    assert machine.failure is None
    assert Path(f"{machine.seen_file}.pip").read_text() == "locked"
