"""Follow a training job: its status in SageMaker and its log in CloudWatch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.console import DeliveryError, echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
POLL_S = 10.0
ENDED = {"Completed", "Failed", "Stopped"}


def hint(name: str) -> str:
    """Return how to follow and stop a job that continues without this command."""
    return (
        f"Follow it:  aws logs tail {LOG_GROUP} --log-stream-name-prefix {name} --follow\n"
        f"Stop it:    aws sagemaker stop-training-job --training-job-name {name}"
    )


def follow(name: str, *, session: boto3.Session, poll_s: float = POLL_S) -> None:
    """Show a job's progress until it ends; fail with SageMaker's reason if it fails or is stopped."""
    sagemaker, log = session.client("sagemaker"), _Log(name, session.client("logs"))
    shown, status = 0, ""
    while status not in ENDED:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        steps = job.get("SecondaryStatusTransitions", [])
        for step in steps[shown:]:
            echo(f"  {step['Status']}: {step.get('StatusMessage') or '...'}")
        shown = len(steps)
        log.show_new()
        status = job["TrainingJobStatus"]
        time.sleep(poll_s)
    log.show_new()  # the last lines arrive after the end
    if status == "Failed":
        raise DeliveryError(f"training job {name} failed: {job.get('FailureReason', 'no reason was given')}")
    if status == "Stopped":
        raise DeliveryError(
            f"training job {name} was stopped ({job['SecondaryStatus']}). "
            "The same command with --resume continues from its finished fits."
        )


class _Log:
    """One job's log in CloudWatch."""

    def __init__(self, name: str, client: Any) -> None:  # boto3-stubs for `logs` are not installed
        self._streams = {"logGroupName": LOG_GROUP, "logStreamNamePrefix": f"{name}/"}
        self._client = client
        self._tokens: dict[str, str] = {}  # stream -> token of its next lines
        self._readable = True

    def show_new(self) -> None:
        """Show the lines since the last call; a log that cannot be read is reported once."""
        if not self._readable:
            return
        try:
            for stream in self._client.describe_log_streams(**self._streams)["logStreams"]:
                for line in self._new_lines(stream["logStreamName"]):
                    echo(f"    {line}")
        except ClientError as error:
            # The log group of an account's first job does not exist before its container logs something.
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                self._readable = False
                echo(f"  its log cannot be read, the job continues: {error}")

    def _new_lines(self, stream: str) -> Iterator[str]:
        while True:
            position = {"nextToken": token} if (token := self._tokens.get(stream)) else {}
            page = self._client.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **position
            )
            yield from (event["message"].rstrip() for event in page["events"])
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token or not page["events"]:  # the end repeats the token
                return
