"""A person who waits for a training job sees its steps and its log, and at the end how it went."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.delivery import training_watch
from scripts.delivery.console import DeliveryError

NAME = "evening-1"


class Recorded:
    """A session whose job and log answer as recorded: one answer a call, the last again and again."""

    def __init__(self, *, job: list[dict[str, Any]], log: list[list[str] | str]) -> None:
        self.job, self.log = job, log
        self.tokens: list[str | None] = []

    def client(self, _name: str) -> Recorded:
        return self

    def describe_training_job(self, **asked: str) -> dict[str, Any]:
        assert asked == {"TrainingJobName": NAME}
        return self.job.pop(0) if len(self.job) > 1 else self.job[0]

    def describe_log_streams(self, **asked: str) -> dict[str, Any]:
        assert asked == {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": f"{NAME}/"}
        if self.log and isinstance(code := self.log[0], str):
            self.log.pop(0)
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeLogStreams")
        return {"logStreams": [{"logStreamName": f"{NAME}/algo-1"}]}

    def get_log_events(self, **asked: Any) -> dict[str, Any]:
        assert asked["startFromHead"]
        self.tokens.append(asked.get("nextToken"))
        lines = self.log.pop(0) if self.log and not isinstance(self.log[0], str) else []
        return {
            "events": [{"message": f"{line}\n"} for line in lines],
            "nextForwardToken": str(len(self.tokens)) if lines else asked.get("nextToken", "start"),
        }


def state(status: str, *steps: str, **more: str) -> dict[str, Any]:
    transitions = [{"Status": step, "StatusMessage": f"{step} it"} for step in steps]
    described = {"TrainingJobStatus": status, "SecondaryStatus": steps[-1]}
    return described | {"SecondaryStatusTransitions": transitions} | more


def follow(recorded: Recorded) -> None:
    training_watch.follow(NAME, session=recorded, poll_s=0)  # type: ignore[arg-type]


def test_each_step_and_line_is_shown_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    follow(
        Recorded(
            job=[
                state("InProgress", "Starting"),
                state("InProgress", "Starting", "Training"),
                state("InProgress", "Starting", "Training"),
                state("Completed", "Starting", "Training", "Completed"),
            ],
            # No log group at first; a long page and the next; nothing new; the last words after the end.
            log=["ResourceNotFoundException", ["one", "two"], ["three"], [], [], ["four"]],
        )
    )
    shown = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert shown == [
        "Starting: Starting it", "Training: Training it", "one", "two", "three",
        "Completed: Completed it", "four",
    ]  # fmt: skip


def test_a_failure_is_told_with_its_reason() -> None:
    failed = state("Failed", "Failed", FailureReason="AlgorithmError: no folds")
    with pytest.raises(DeliveryError, match=f"{NAME} failed: AlgorithmError: no folds"):
        follow(Recorded(job=[failed], log=[]))


def test_a_stopped_job_says_how_to_go_on() -> None:
    with pytest.raises(DeliveryError, match=r"stopped before its end \(MaxRuntimeExceeded\)(.|\n)*--resume"):
        follow(Recorded(job=[state("Stopped", "MaxRuntimeExceeded")], log=[]))


def test_a_log_that_may_not_be_read_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    follow(
        Recorded(
            job=[
                state("InProgress", "Training"),
                state("InProgress", "Training"),
                state("Completed", "Completed"),
            ],
            log=["AccessDeniedException", ["never shown"]],
        )
    )
    shown = capsys.readouterr().err
    assert shown.count("its log cannot be read here") == 1
    assert "never shown" not in shown
