"""A training in the environment's SageMaker pipeline: upload what it needs, start it, and follow it.

It calls boto3: the SDK's PipelineExecution gives no ARN of what it starts, and its `stop` cannot be called.
UNVERIFIED on AWS: the emulator runs the same definition, with a process in place of the training image.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from infra import names
from infra.config.training import RUNS
from infra.paths import ROOT
from model.data import outlines, phantom
from model.data import source as reading
from model.data.dataset import resolve
from scripts.cli import data_options
from scripts.commands import common
from scripts.commands.model_errors import MODEL_ERRORS
from scripts.console import DeliveryError, echo, progress, step
from scripts.delivery.aws import stack_outputs
from scripts.training_job.entry import CHANNELS, INPUTS, channels_of
from scripts.transform.run import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config import Settings
    from infra.config.training import Training

# The training's source: no other file of the repository is uploaded.
SOURCE_FOLDERS = ("model", "container")
SOURCE_FILES = (
    "infra/__init__.py",
    "infra/paths.py",
    "scripts/cli.py",
    "scripts/commands/__init__.py",
    "scripts/commands/model_errors.py",
    "scripts/commands/train.py",
    "scripts/console.py",
    "scripts/training_job/__init__.py",
    "scripts/training_job/entry.py",
)
SOURCE_SUFFIXES = {".py", ".jinja", ".json", ".toml", ".md", ".txt"}
LOCK = "requirements/train.txt"  # universal: the Python of a SageMaker image may be newer than this one
AWS_IMAGES = "tensorflow-training"  # their repository, in an account for each region
POLL_S, LOCAL_POLL_S = 30.0, 0.5
AGAIN = "the same command with --resume continues from its finished fits."


def main(options: argparse.Namespace, arguments: list[str]) -> None:
    """Train in the environment's pipeline, as `scripts/train --on sagemaker` asks."""

    def action(settings: Settings) -> None:
        training = prepare(settings)
        # Reading says what is wrong before it costs. A job fetches sets itself.
        read = () if options.kaggle else resolve(options.data, options.masks).folders
        run(settings, [*arguments, *data_options(() if options.data else read)])
        echo(f"✓ its runs and models are in {training.mlflow}")

    common.run(options, action, expected=MODEL_ERRORS)


def prepare(settings: Settings) -> Training:
    """Check what the environment trains with, and read the MLflow store that its pipeline logs to."""
    training = settings.training
    if training is None:
        raise DeliveryError(
            f"Environment {settings.environment} has no pipeline: add [training] to its settings and deploy, "
            "or train with --on here."
        )
    given = os.environ.setdefault("MLFLOW_TRACKING_URI", training.mlflow)
    if given != training.mlflow:
        raise DeliveryError(
            f"MLFLOW_TRACKING_URI is {given}, but the pipeline logs to {training.mlflow}: unset it, correct "
            "[training] and deploy, or train with --on here."
        )
    if f"/{AWS_IMAGES}" in training.image:
        _check_image(training, settings.region)
    return training


def _check_image(training: Training, region: str) -> None:
    """Refuse an image of AWS's that is not the one for the region, the processor and the locked packages."""
    from sagemaker.core import image_uris  # noqa: PLC0415  # takes seconds

    tensorflow, instance = version("tensorflow"), training.instance_type
    try:
        listed = image_uris.retrieve(
            "tensorflow", region=region, version=tensorflow, instance_type=instance, image_scope="training"
        )
    except ValueError as error:
        raise DeliveryError(f"[training] image: write one of your own registry. {error}") from error
    if not training.image.startswith((listed, f"{listed.partition(':')[0]}@")):
        raise DeliveryError(
            f"[training] image is {training.image}, but with TensorFlow {tensorflow}, in {region} and for "
            f"{instance}, AWS's is {listed}: write that and deploy."
        )


def run(settings: Settings, arguments: list[str]) -> None:
    """Train as `scripts/train` does with these arguments; a `DeliveryError` says why there is no version.

    Data is that which the arguments name, or the job's own.
    """
    others, sources = split(arguments)
    bucket = stack_outputs(names.stack(settings.environment, "registry")).get("TrainingBucketName")
    if bucket is None:
        raise DeliveryError(f"There is no pipeline yet: `scripts/deploy --env {settings.environment}`.")
    prefix = f"{RUNS}/{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}/"
    with step(f"uploading source and images to s3://{bucket}/{prefix}"):
        _upload(sources, bucket, prefix)
    client: Any = boto3.client("sagemaker")  # whose types demand a token, which it makes itself
    name = names.training_pipeline(settings.environment)
    given = {"Prefix": f"s3://{bucket}/{prefix}", "Arguments": json.dumps(others)}
    parameters = [{"Name": key, "Value": value} for key, value in given.items()]
    started = client.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)
    execution = started["PipelineExecutionArn"]
    try:
        with step(f"training in {name}"):
            _follow(client, execution, poll_s=LOCAL_POLL_S if settings.local else POLL_S)
    except KeyboardInterrupt:
        try:
            client.stop_pipeline_execution(PipelineExecutionArn=execution)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":  # it has ended meanwhile
                raise DeliveryError(f"{execution} could not be stopped, and continues: {error}") from None
        echo(f"✗ stopped, as {execution} is: {AGAIN}")
        raise SystemExit(130) from None


def split(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments for the job's own `scripts/train`, and by channel the folders that it needs."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("on", "env"):
        own.add_argument(f"--{option}")
    for option in CHANNELS:
        own.add_argument(f"--{option}", action="append", default=[])
    named, others = own.parse_known_args(arguments)
    return others, {
        channel: folder
        for option in CHANNELS
        for channel, folder in zip(channels_of(option), getattr(named, option), strict=False)
    }


def _upload(sources: Mapping[str, str], bucket: str, prefix: str) -> None:
    """Put the training's source and images below a prefix; nothing else of either folder."""
    client = boto3.client("s3")
    with tempfile.TemporaryDirectory() as code:
        pack_source(Path(code))
        files = {f"code/{path.relative_to(code)}": path for path in Path(code).rglob("*") if path.is_file()}
        for channel, source in sources.items():
            folder = Path(source).expanduser().resolve()
            place = f"{INPUTS}/{channel}/{folder.name}"
            files |= {f"{place}/{path.relative_to(folder)}": path for path in images_of(folder, channel)}

        def put(name: str) -> None:
            client.put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=files[name].read_bytes())

        for done, _ in enumerate(mapped(put, files), start=1):
            progress(f"{done} files")


def images_of(folder: Path, channel: str) -> Iterator[Path]:
    """Return the files that training reads of a folder, of sources or outlines."""
    if channel.startswith("data"):
        found = [folder / phantom.MARKER]  # it marks a folder of phantoms
        for each in reading.find(folder):
            found += [each / phantom.MARKER, *reading.read(each, name=each.name, qualified=False).files]
    else:
        found = outlines.files(folder, loose=True)
    return filter(Path.is_file, found)


def pack_source(to: Path) -> None:
    """Copy the training's source, and its locked packages as `requirements.txt`, to a folder."""
    sources = [path for folder in SOURCE_FOLDERS for path in (ROOT / folder).rglob("*") if _is_source(path)]
    for path in (*sources, *(ROOT / name for name in SOURCE_FILES)):
        target = to / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(ROOT / LOCK, to / "requirements.txt")


def _is_source(path: Path) -> bool:
    """Whether a file is source, and not an image or a network that was left in a source folder."""
    hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
    return path.is_file() and path.suffix in SOURCE_SUFFIXES and not hidden


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
        reason = next(
            (each["FailureReason"] for each in (*steps, state) if "FailureReason" in each), "unknown"
        )
        logs = f"aws logs tail {names.TRAINING_LOG_GROUP} --log-stream-name-prefix pipelines-"
        raise DeliveryError(f"{execution} failed: {reason}\nIts log: {logs}\nCorrect that; {AGAIN}")
