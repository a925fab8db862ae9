"""Following a training job: its status, its log, and its end."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.console import DeliveryError
from scripts.training_job.watch import follow

NAME = "evening-1"


class FakeSession:
    """A session with a scripted job and log: one reply per call; the last state of the job repeats."""

    def __init__(self, *job: dict[str, Any], log: list[list[str] | str]) -> None:
        self.job, self.log, self.pages = list(job), log, 0

    def client(self, _name: str) -> FakeSession:
        return self

    def describe_training_job(self, **arguments: str) -> dict[str, Any]:
        assert arguments == {"TrainingJobName": NAME}
        return self.job.pop(0) if len(self.job) > 1 else self.job[0]

    def describe_log_streams(self, **arguments: str) -> dict[str, Any]:
        assert arguments == {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": f"{NAME}/"}
        if self.log and isinstance(code := self.log[0], str):
            self.log.pop(0)
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeLogStreams")
        return {"logStreams": [{"logStreamName": f"{NAME}/algo-1"}]}

    def get_log_events(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["startFromHead"]
        self.pages += 1
        lines = self.log.pop(0) if self.log else []
        next_token = str(self.pages) if lines else arguments.get("nextToken", "start")
        return {"events": [{"message": f"{line}\n"} for line in lines], "nextForwardToken": next_token}


def state(status: str, *steps: str, **more: str) -> dict[str, Any]:
    transitions = [{"Status": step, "StatusMessage": f"{step} it"} for step in steps]
    described = {"TrainingJobStatus": status, "SecondaryStatus": steps[-1]}
    return described | {"SecondaryStatusTransitions": transitions} | more


TRAINING, COMPLETED = (
    state("InProgress", "Starting", "Training"),
    state("Completed", "Starting", "Training", "Completed"),
)


def shown(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> list[str]:
    follow(NAME, session=session, poll_s=0)  # type: ignore[arg-type]
    return [line.strip() for line in capsys.readouterr().err.splitlines()]


def test_each_step_and_line_is_shown_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    # No log group at first; a long page and the next; nothing new; the last lines after the end.
    log: list[list[str] | str] = ["ResourceNotFoundException", ["one", "two"], ["three"], [], [], ["four"]]
    session = FakeSession(state("InProgress", "Starting"), TRAINING, TRAINING, COMPLETED, log=log)
    assert shown(session, capsys) == [
        "Starting: Starting it", "Training: Training it", "one", "two", "three",
        "Completed: Completed it", "four",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (state("Failed", "Failed", FailureReason="no folds"), f"{NAME} failed: no folds"),
        (state("Stopped", "MaxRuntimeExceeded"), r"was stopped \(MaxRuntimeExceeded\)(.|\n)*--resume"),
    ],
)
def test_another_end_is_an_error_with_its_reason(end: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeliveryError, match=reason):
        follow(NAME, session=FakeSession(end, log=[]), poll_s=0)  # type: ignore[arg-type]


def test_an_unreadable_log_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    session = FakeSession(TRAINING, TRAINING, COMPLETED, log=["AccessDeniedException", ["never shown"]])
    lines = shown(session, capsys)
    assert sum("its log cannot be read" in line for line in lines) == 1
    assert "never shown" not in lines
