"""A training in the environment's SageMaker pipeline: upload what it needs, start it, and follow it.

UNVERIFIED on AWS: the emulator runs the same definition, with a process in place of the training image.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from infra import names
from infra.config.training import RUNS
from scripts.commands import train
from scripts.console import DeliveryError, echo, progress, step
from scripts.delivery.aws import stack_outputs
from scripts.training_job import inputs
from scripts.training_job.entry import INPUTS
from scripts.training_job.job import from_options
from scripts.transform.run import mapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.config import Settings
    from infra.config.training import Training

POLL_S, LOCAL_POLL_S = 30.0, 0.5
AGAIN = "the same command with --resume continues from its finished fits."


def use_store(training: Training) -> None:
    """Read the MLflow store that the pipeline logs to; refuse where the shell names another."""
    given = os.environ.setdefault("MLFLOW_TRACKING_URI", training.mlflow)
    if given != training.mlflow:
        raise DeliveryError(
            f"MLFLOW_TRACKING_URI is {given}, but the pipeline logs to {training.mlflow}: unset it, correct "
            "[training] and deploy, or train with --on here."
        )


def run(settings: Settings, arguments: list[str]) -> None:
    """Train as `scripts/train` does with these arguments; a `DeliveryError` says why there is no version."""
    job = from_options(train.parse(arguments), arguments)
    bucket = stack_outputs(names.stack(settings.environment, "registry")).get("TrainingBucketName")
    if bucket is None:
        raise DeliveryError(f"There is no pipeline yet: `scripts/deploy --env {settings.environment}`.")
    if remote := [each for each in job.sources.values() if each.startswith(inputs.S3)]:
        raise DeliveryError(f"The pipeline may not read {', '.join(remote)}: name folders, or --on here.")
    prefix = f"{RUNS}/{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}/"
    with step(f"uploading source and images to s3://{bucket}/{prefix}"):
        _upload(job.sources, bucket, prefix)
    client: Any = boto3.client("sagemaker")  # whose types demand a token, which it makes itself
    name = names.training_pipeline(settings.environment)
    given = {"Prefix": f"s3://{bucket}/{prefix}", "Arguments": json.dumps(job.arguments)}
    parameters = [{"Name": key, "Value": value} for key, value in given.items()]
    started = client.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)
    execution = started["PipelineExecutionArn"]
    try:
        with step(f"training in {name}"):
            _follow(client, execution, poll_s=LOCAL_POLL_S if settings.local else POLL_S)
    except KeyboardInterrupt:
        with suppress(ClientError):  # it has ended meanwhile
            client.stop_pipeline_execution(PipelineExecutionArn=execution)
        echo(f"✗ stopped, as {execution} is: {AGAIN}")
        raise SystemExit(130) from None


def _upload(sources: Mapping[str, str], bucket: str, prefix: str) -> None:
    """Put the training's source and images below a prefix; nothing else of either folder."""
    client = boto3.client("s3")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        inputs.pack_source(folder / "code")
        for channel, source in sources.items():
            named = folder / INPUTS / channel / inputs.name_of(source)
            inputs.link_images(source, channel=channel, to=named)

        def put(path: Path) -> None:
            key = f"{prefix}{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

        for done, _ in enumerate(mapped(put, filter(Path.is_file, folder.rglob("*"))), start=1):
            progress(f"{done} files")


def _follow(client: Any, execution: str, *, poll_s: float) -> None:
    """Wait for an execution's end, which must be a success."""
    status = "Executing"
    while status in ("Executing", "Stopping"):
        time.sleep(poll_s)
        state = client.describe_pipeline_execution(PipelineExecutionArn=execution)
        steps = client.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        status = state["PipelineExecutionStatus"]
        progress(", ".join(f"{each['StepName']} {each['StepStatus']}" for each in steps) or status)
    if status == "Stopped":
        raise DeliveryError(f"{execution} was stopped: {AGAIN}")
    if status != "Succeeded":
        reason = next((each["FailureReason"] for each in (*steps, state) if "FailureReason" in each), "?")
        logs = f"aws logs tail {names.TRAINING_LOG_GROUP} --log-stream-name-prefix pipelines-"
        raise DeliveryError(f"{execution} failed: {reason}\nIts log: {logs}\nCorrect that; {AGAIN}")
