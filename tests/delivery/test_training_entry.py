"""A training job's entry point, as a process: the job's folders and settings become `scripts/train`'s."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.delivery import training_code, training_entry, training_submit
from tests.delivery.test_training_job import JOB

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.delivery.conftest import Aws

# Tells what it was given; then does what the test wants.
TRAIN = """
import json, os, pathlib, sys
def held(folder):
    files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in files)
options, channels = [], {}
words = iter(sys.argv[1:])
for word in words:
    if word in ("--data", "--pretrain"):
        folder = next(words)
        channels[word] = [pathlib.Path(folder).name, *held(folder)]
    else:
        options.append(word)
tracking = os.environ["MLFLOW_TRACKING_URI"]
seen = {"options": options, "channels": channels, "tracking": tracking, "cwd": os.getcwd()}
pathlib.Path(os.environ["SEEN"]).write_text(json.dumps(seen))
"""
WAIT = """
import signal, time
try:
    print("training", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped in order", flush=True)
    sys.exit(130)
"""


class Machine:
    """A folder that looks as `/opt/ml` does in a job."""

    def __init__(self, ml: Path) -> None:
        self.ml = ml
        self.code = ml / "input" / "data" / "code"
        self.seen_file = ml.parent / "seen.json"
        self.environment = os.environ | {
            "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
            "SM_INPUT_CONFIG_DIR": str(ml / "input" / "config"),
            "SM_OUTPUT_FAILURE": str(ml / "output" / "failure"),
            "SEEN": str(self.seen_file),
        }
        (ml / "input" / "config").mkdir(parents=True)
        self.write("code/scripts/delivery/training_entry.py", Path(training_entry.__file__).read_text())
        self.train("")

    def write(self, path: str, text: str) -> None:
        target = self.ml / "input" / "data" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def train(self, then: str) -> None:
        self.write("code/scripts/train", TRAIN + then)

    def channel(self, name: str, *, called: str | None, holding: tuple[str, ...]) -> None:
        for path in holding:
            self.write(f"{name}/{path}", path)
        self.environment[f"SM_CHANNEL_{name.upper()}"] = str(self.ml / "input" / "data" / name)
        if called:
            self.environment[training_entry.name_variable(name)] = called

    def hyperparameters(self, values: object) -> None:
        (self.ml / "input" / "config" / "hyperparameters.json").write_text(json.dumps(values))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.code / "scripts" / "delivery" / "training_entry.py")],
            cwd=self.code, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self) -> subprocess.CompletedProcess[str]:
        with self.start() as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def seen(self) -> dict[str, object]:
        return dict(json.loads(self.seen_file.read_text()))

    @property
    def failure(self) -> str | None:
        path = self.ml / "output" / "failure"
        return path.read_text() if path.is_file() else None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in [name for name in os.environ if name.startswith("SM_")]:
        monkeypatch.delenv(name)
    return Machine(tmp_path / "ml")


def test_channels_and_hyperparameters_become_the_same_command(machine: Machine) -> None:
    machine.hyperparameters({"quick": "true", "folds": "3", "architecture": '["a", "b"]'})
    machine.channel("data", called="my scans", holding=("yes/1.jpg", "no/2.jpg", ".phantom"))
    machine.channel("pretrain", called="extra", holding=("oasis/mild/3.jpg",))
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.seen == {
        "options": ["--quick", "--folds=3", "--architecture=a", "--architecture=b"],
        "channels": {
            "--data": ["my scans", ".phantom", "no/2.jpg", "yes/1.jpg"],
            "--pretrain": ["extra", "oasis/mild/3.jpg"],
        },
        "tracking": "https://mlflow.example.org",
        "cwd": str(machine.code),
    }
    assert machine.failure is None


def test_a_failure_leaves_its_reason_and_its_status(machine: Machine) -> None:
    machine.train(
        "print('fold 1', end='\\r'); print('x' * 2000); sys.exit('scripts/train: a class has 2 groups')"
    )
    done = machine.run()
    assert done.returncode == 1
    assert "fold 1\n" in done.stdout  # a progress bar's steps are lines of the job's log
    assert machine.failure is not None
    assert machine.failure.endswith("x\nscripts/train: a class has 2 groups")
    assert len(machine.failure) == 1024


def test_another_status_passes_through(machine: Machine) -> None:
    machine.train("sys.exit(7)")
    assert machine.run().returncode == 7
    assert machine.failure == ""


def test_want_of_memory_is_named(machine: Machine) -> None:
    machine.train("import signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert machine.run().returncode == 128 + signal.SIGKILL
    assert machine.failure is not None
    assert "want of memory: take a larger --instance-type" in machine.failure


def test_sagemakers_stop_ends_training_in_order(machine: Machine) -> None:
    machine.train(WAIT)
    with machine.start() as process:
        assert process.stdout
        while process.stdout.readline() != "training\n":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == "stopped in order\n"
    assert machine.failure is None  # it did not fail


def without_tracking(machine: Machine) -> None:
    del machine.environment["MLFLOW_TRACKING_URI"]


def with_an_empty_channel(machine: Machine) -> None:
    machine.environment["SM_CHANNEL_DATA"] = str(machine.ml / "nowhere")


def with_a_list(machine: Machine) -> None:
    machine.hyperparameters(["quick"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (without_tracking, "MLFLOW_TRACKING_URI is not set"),
        (with_an_empty_channel, "channel data: "),
        (with_a_list, "does not hold names and values"),
    ],
)
def test_a_job_that_is_described_wrongly_does_not_train(
    machine: Machine, wrong: Callable[[Machine], None], said: str
) -> None:
    wrong(machine)
    done = machine.run()
    assert done.returncode == 2
    assert machine.failure is not None
    assert said in machine.failure
    assert said in done.stderr
    assert not machine.seen_file.exists()


def as_sagemaker_lays_it_out(aws: Aws, machine: Machine) -> list[str]:
    """Download the job that was asked for as SageMaker would, with `/opt/ml` elsewhere; give its command."""
    made = aws.made()
    for channel in aws.channels():
        for path, content in aws.uploaded(channel).items():
            target = machine.ml / "input" / "data" / channel / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.replace(b"/opt/ml", bytes(machine.ml)))
    machine.hyperparameters(made["HyperParameters"])
    config = machine.ml / "input" / "config"
    (config / "inputdataconfig.json").write_text(json.dumps({name: {} for name in aws.channels()}))
    resources = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    (config / "resourceconfig.json").write_text(
        json.dumps(resources | {"current_instance_type": made["ResourceConfig"]["InstanceType"]})
    )
    specification = made["AlgorithmSpecification"]
    command = [*specification["ContainerEntrypoint"], *specification["ContainerArguments"]]
    return [word.replace("/opt/ml", str(machine.ml)) for word in command]


def make_python(folder: Path) -> None:
    """An image's Python: this one, but what would install packages is only written down."""
    folder.mkdir()
    (folder / "python3").write_text(
        '#!/bin/sh\ncase "$1" in *install_requirements.py) cat "$2" > "$SEEN.installed"; exit;; esac\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    (folder / "pip3").write_text("#!/bin/sh\nexit 1\n")
    for tool in folder.iterdir():
        tool.chmod(0o755)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the SDK's script needs bash")
def test_the_sdks_own_script_leads_to_training_and_to_its_orderly_end(
    training_aws: Aws, machine: Machine, images: Path, tmp_path: Path
) -> None:
    # Given a job as it was asked for, on a machine as SageMaker makes it
    training_submit.submit(replace(JOB, sources={"data": str(images)}, arguments=("--quick", "--folds", "3")))
    command = as_sagemaker_lays_it_out(training_aws, machine)
    machine.train(WAIT)
    make_python(tmp_path / "bin")
    inherited = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}", "SEEN": str(machine.seen_file)}
    named = {"TRAINING_JOB_NAME": training_aws.made()["TrainingJobName"]}
    # When it runs, and SageMaker stops it
    with subprocess.Popen(
        command, env=training_aws.made()["Environment"] | inherited | named,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        said = ""
        while not said.endswith("\ntraining\n"):
            assert process.poll() is None, said
            said += process.stdout.readline() if process.stdout else ""
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    # Then training saw its data and settings, and ended in order: the signal had no shell to be lost in
    files = sorted(path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file())
    assert machine.seen["options"] == ["--quick", "--folds=3"]
    assert machine.seen["channels"] == {"--data": ["my_scans", *files]}
    assert (process.returncode, rest) == (130, "stopped in order\n")
    assert machine.failure is None
    installed = Path(f"{machine.seen_file}.installed").read_text()
    assert installed == training_code.requirements(managed_mlflow=False)
