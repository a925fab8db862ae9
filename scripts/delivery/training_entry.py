"""What a SageMaker training job runs: `scripts/train`, with the job's folders and settings as arguments.

It needs the standard library only. As a process on a laptop it does the same, told by the same variables.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = ("data", "pretrain")
"""Channels of a job; each is also the option of `scripts/train` that takes such a folder."""
FLAG = "true"
"""The hyperparameter of an option that takes no value."""
SETTINGS_WRONG = 2  # the exit status that argparse gives for wrong arguments
SIGNALLED = 128  # what a shell adds to the signal that ended a process
REASON_LIMIT = 1024  # SageMaker's FailureReason is the first 1024 characters of the failure file
LINES_KEPT = 20
SHOW_PROGRESS_EVERY_S = "30"  # each step of a progress bar becomes a line of the job's log


class JobError(Exception):
    """The job's own settings are wrong; the text says which."""


def name_variable(channel: str) -> str:
    """Name the environment variable that says what a channel's folder was called where it came from."""
    return f"TUMOR_{channel.upper()}_NAME"


def as_hyperparameters(arguments: Sequence[str]) -> dict[str, str]:
    """Turn options of `scripts/train` into hyperparameters, which SageMaker shows and searches by name.

    Parameters
    ----------
    arguments
        ``--name``, ``--name value`` or ``--name=value``; one that is repeated becomes a JSON list.

    Raises
    ------
    ValueError
        If something is no option and no option's value.
    """
    found: dict[str, list[str]] = {}
    awaiting: list[str] | None = None
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            values = found.setdefault(name, [])
            values.append(value if equals else FLAG)
            awaiting = None if equals else values
        elif awaiting:
            awaiting[-1] = argument
            awaiting = None
        else:
            raise ValueError(f"{argument!r} is no option, and no option before it takes it")
    return {name: values[0] if len(values) == 1 else json.dumps(values) for name, values in found.items()}


def as_options(hyperparameters: Mapping[str, str]) -> list[str]:
    """Turn a job's hyperparameters back into options of `scripts/train`."""
    options: list[str] = []
    for name, text in hyperparameters.items():
        values = json.loads(text) if text.startswith("[") else [text]
        options += [f"--{name}" if value == FLAG else f"--{name}={value}" for value in values]
    return options


def main() -> int:
    """Run `scripts/train` as the job describes it; give its exit status and leave the reason of a failure."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            arguments = _arguments(Path(scratch))
        except JobError as error:
            _leave_reason(str(error))
            return SETTINGS_WRONG
        command = [sys.executable, str(ROOT / "scripts" / "train"), *arguments]
        print("training job: running", *command[1:], flush=True)
        status, last_words, stopped = _run(command)
    if status and not stopped:
        _leave_reason(last_words)
    return status


def _arguments(scratch: Path) -> list[str]:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise JobError("MLFLOW_TRACKING_URI is not set: all that is learnt would be lost with this machine.")
    settings = Path(os.environ.get("SM_INPUT_CONFIG_DIR", "/opt/ml/input/config")) / "hyperparameters.json"
    try:
        options = as_options(json.loads(settings.read_text()) if settings.is_file() else {})
    except (ValueError, AttributeError, TypeError) as error:
        raise JobError(f"{settings} does not hold names and values: {error}") from error
    for channel in CHANNELS:
        if folder := os.environ.get(f"SM_CHANNEL_{channel.upper()}"):
            options += [f"--{channel}", str(_named(Path(folder), channel, scratch))]
    return options


def _named(folder: Path, channel: str, scratch: Path) -> Path:
    """Show a channel's folder under the name it had, by which runs and cards call the data set."""
    if not folder.is_dir():
        raise JobError(f"channel {channel}: {folder} is not there. Does its S3 prefix hold anything?")
    name = os.environ.get(name_variable(channel))
    if not name:
        return folder
    shown = scratch / channel / Path(name).name
    for path in folder.rglob("*"):  # folders are made anew: a search through them need not follow links
        if path.is_file():
            link = shown / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return shown


def _run(command: list[str]) -> tuple[int, str, bool]:
    """Run a command and pass on what it says; give its status, its last words, and whether it was stopped."""
    said = collections.deque[str](maxlen=LINES_KEPT)
    stopped = False
    environment = {"PYTHONUNBUFFERED": "1", "TQDM_MININTERVAL": SHOW_PROGRESS_EVERY_S} | os.environ
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as train:  # fmt: skip

        def stop(_signal: int, _frame: object) -> None:
            # SageMaker sends SIGTERM, and SIGKILL 120 s later. On Ctrl-C `scripts/train` ends in order: its
            # runs are marked, and `--resume` can go on from the folds that are finished.
            nonlocal stopped
            stopped = True
            train.send_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, stop)
        for line in train.stdout or ():
            print(line, end="", flush=True)
            if line.strip():
                said.append(line.rstrip())
    if train.returncode >= 0:
        return train.returncode, "\n".join(said), stopped
    if -train.returncode == signal.SIGKILL:
        said.append(
            "scripts/train was killed, most likely for want of memory: take a larger --instance-type."
        )
    return SIGNALLED - train.returncode, "\n".join(said), stopped


def _leave_reason(text: str) -> None:
    """Write the end of a text, which says most, where SageMaker reads why a job failed."""
    print(
        f"training job: failed: {text.splitlines()[-1] if text else 'it said nothing'}",
        file=sys.stderr,
        flush=True,
    )
    failure = Path(os.environ.get("SM_OUTPUT_FAILURE", "/opt/ml/output/failure"))
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(text[-REASON_LIMIT:])
    except OSError as error:
        print(f"training job: {failure} cannot be written: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
