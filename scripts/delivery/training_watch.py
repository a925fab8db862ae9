"""Follow a training job: SageMaker's steps and the job's own log, line by line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.delivery.console import DeliveryError, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
POLL_S = 10.0
ENDED = {"Completed", "Failed", "Stopped"}


def hint(name: str) -> str:
    """Say how a person follows and stops a job that goes on without this command."""
    return (
        f"Follow it:  aws logs tail {LOG_GROUP} --log-stream-name-prefix {name} --follow\n"
        f"Stop it:    aws sagemaker stop-training-job --training-job-name {name}"
    )


def follow(name: str, *, session: boto3.Session, poll_s: float = POLL_S) -> None:
    """Show what a job does until it ends.

    Raises
    ------
    DeliveryError
        If it fails, with SageMaker's reason, or is stopped.
    """
    sagemaker, log = session.client("sagemaker"), _Log(name, session.client("logs"))
    shown = 0
    while True:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        steps = job.get("SecondaryStatusTransitions", [])
        for step in steps[shown:]:
            say(f"  {step['Status']}: {step.get('StatusMessage') or '...'}")
        shown = len(steps)
        _show(log)
        status = job["TrainingJobStatus"]
        time.sleep(poll_s)
        if status in ENDED:
            _show(log)  # its last words reach the log a little after its end
            break
    if status == "Failed":
        raise DeliveryError(
            f"training job {name} failed: {job.get('FailureReason', 'SageMaker gave no reason')}"
        )
    if status == "Stopped":
        raise DeliveryError(
            f"training job {name} was stopped before its end ({job['SecondaryStatus']}). "
            "The same command with --resume goes on from its finished folds."
        )


def _show(log: _Log) -> None:
    for line in log.news():
        say(f"    {line}")


class _Log:
    """One job's log in CloudWatch, from its beginning."""

    def __init__(self, name: str, client: Any) -> None:  # boto3-stubs for `logs` are not installed
        self.prefix = f"{name}/"
        self.client = client
        self.streams: dict[str, str | None] = {}  # name of each, and where its next lines begin
        self.readable = True

    def news(self) -> Iterator[str]:
        """Yield the lines since the last call; a log that may not be read is named once and left alone."""
        if not self.readable:
            return
        try:
            found = self.client.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=self.prefix)
            for stream in found["logStreams"]:
                self.streams.setdefault(stream["logStreamName"], None)
            for stream in self.streams:
                yield from self._lines(stream)
        except ClientError as error:
            # A first job's log group is made when its container speaks for the first time.
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                self.readable = False
                say(f"  its log cannot be read here, the job goes on: {error}")

    def _lines(self, stream: str) -> Iterator[str]:
        while True:
            position = {"nextToken": token} if (token := self.streams[stream]) else {}
            page = self.client.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **position
            )
            yield from (event["message"].rstrip() for event in page["events"])
            self.streams[stream] = page["nextForwardToken"]
            if (
                page["nextForwardToken"] == token or not page["events"]
            ):  # the end gives the token it was asked with
                return
