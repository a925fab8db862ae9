"""The program of a SageMaker training job: runs `scripts/train` with the job's folders and arguments.

It needs the standard library only, and runs anywhere with the same environment variables.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = ("data", "masks")
"""Options of `scripts/train` whose folders are in inputs/data/NAME, inputs/data_2/NAME and so on."""
ARGUMENTS = "arguments"
"""The one hyperparameter: a JSON list of arguments for `scripts/train`."""
SETTINGS_WRONG = 2  # argparse's exit status for wrong arguments
SIGNALLED = 128  # a shell's exit status for a signal is this plus its number
REASON_LIMIT = 1024  # SageMaker's FailureReason is the first 1024 characters of the failure file
LINES_KEPT = 20
INPUTS = "inputs"  # beside the source
SHOW_PROGRESS_EVERY_S = "30"  # every update of a progress bar is a line of the job's log


def channels_of(option: str) -> Iterator[str]:
    """Name the places of an option's folders, without end."""
    yield option
    yield from (f"{option}_{number}" for number in itertools.count(2))


def main() -> int:
    """Run `scripts/train` as the job describes it; return its exit status and write why it failed."""
    try:
        arguments = _arguments()
    except ValueError as error:
        _write_failure(str(error))
        return SETTINGS_WRONG
    command = [sys.executable, "-m", "scripts.commands.train", *arguments]
    print("training job: running", *command[1:], flush=True)
    status, tail, stopped = _run(command)
    if status and not stopped:
        _write_failure(tail)
    return status


def _arguments() -> list[str]:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise ValueError("MLFLOW_TRACKING_URI is not set: all results would be lost with this machine.")
    settings = Path(os.environ.get("SM_INPUT_CONFIG_DIR", "/opt/ml/input/config")) / "hyperparameters.json"
    try:
        options = [str(each) for each in json.loads(json.loads(settings.read_text())[ARGUMENTS])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{settings} does not hold a JSON list as {ARGUMENTS!r}: {error!r}") from error
    for option in CHANNELS:
        for channel in channels_of(option):
            folder = next((ROOT.parent / INPUTS / channel).glob("*"), None)
            if folder is None:
                break
            options += [f"--{option}", str(folder)]
    return options


def _run(command: list[str]) -> tuple[int, str, bool]:
    """Run a command and pass on its output; return its status, its last lines, and whether it was stopped."""
    tail = collections.deque[str](maxlen=LINES_KEPT)
    stopped = False
    environment = {"PYTHONUNBUFFERED": "1", "TQDM_MININTERVAL": SHOW_PROGRESS_EVERY_S} | os.environ
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as train:  # fmt: skip

        def stop(_signal: int, _frame: object) -> None:
            # SageMaker sends SIGTERM, and SIGKILL 120 s later. On SIGINT `scripts/train` marks its runs, and
            # `--resume` can continue from its finished fits.
            nonlocal stopped
            stopped = True
            train.send_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, stop)
        for line in train.stdout or ():
            print(line, end="", flush=True)
            if line.strip():
                tail.append(line.rstrip())
    if train.returncode >= 0:
        return train.returncode, "\n".join(tail), stopped
    if -train.returncode == signal.SIGKILL:
        tail.append(
            "scripts/train was killed, probably out of memory: set a larger instance_type in [training]."
        )
    return SIGNALLED - train.returncode, "\n".join(tail), stopped


def _write_failure(text: str) -> None:
    """Write the end of a text to the file from which SageMaker reads why a job failed."""
    reason = text.splitlines()[-1] if text else "no output"
    print(f"training job: failed: {reason}", file=sys.stderr, flush=True)
    failure = Path(os.environ.get("SM_OUTPUT_FAILURE", "/opt/ml/output/failure"))
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(text[-REASON_LIMIT:])
    except OSError as error:
        print(f"training job: {failure} cannot be written: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
