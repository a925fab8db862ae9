"""`scripts/train --on sagemaker`: create a training job with the SDK's ModelTrainer, and follow it.

UNVERIFIED on AWS: tests mock SageMaker, and run the SDK's script for the job in a local process.
The SDK takes seconds to import, so the command imports this module only to create a job.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError
from sagemaker.core import image_uris
from sagemaker.core.config.config import load_sagemaker_config
from sagemaker.core.helper.iam_role_resolver import RoleValidationError
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import (
    Compute,
    InputData,
    OutputDataConfig,
    SourceCode,
    StoppingCondition,
)
from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.train import ModelTrainer

from infra.local_aws import ACCOUNT as LOCAL_ACCOUNT
from infra.names import PROJECT
from scripts.console import DeliveryError, echo, step
from scripts.delivery.aws import AWS_ERRORS
from scripts.training_job import inputs
from scripts.training_job.entry import ARGUMENTS, name_variable
from scripts.training_job.job import TrainingJob, from_options

if TYPE_CHECKING:
    import argparse

    from sagemaker.core.resources import TrainingJob as CreatedJob

# Without `exec` the SDK's shell script would not pass on SIGTERM, with which SageMaker stops a job.
COMMAND = "exec $SM_PYTHON_CMD scripts/training_job/entry.py"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
VOLUME_GB = 30
NEVER_SENT = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def run(options: argparse.Namespace, arguments: list[str]) -> None:
    """Create the job that a command line describes, and follow it to its end unless it has ``--no-wait``."""
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region  # boto3 reads this one only
    name = None
    try:
        created = submit(from_options(options, arguments))
        name = created.training_job_name
        if options.no_wait:
            echo(_hint(name))
            return
        follow(created)
        echo(f"✓ training job {name}: its runs and the champion are in {os.environ['MLFLOW_TRACKING_URI']}")
    except AWS_ERRORS as error:
        on = f"\nJob {name} continues.\n{_hint(name)}" if name else ""
        raise DeliveryError(f"AWS failed: {error}{on}") from error
    except KeyboardInterrupt:
        on = f"; job {name} continues.\n{_hint(name)}" if name else " before a job was created."
        print(f"\nscripts/train: stopped{on}", file=sys.stderr)
        sys.exit(130)


def _hint(name: str) -> str:
    """Return how to follow and stop a job that continues without this command."""
    return (
        f"Follow it:  aws logs tail {LOG_GROUP} --log-stream-name-prefix {name} --follow\n"
        f"Stop it:    aws sagemaker stop-training-job --training-job-name {name}"
    )


def follow(job: CreatedJob) -> None:
    """Show a job's log until it ends; fail with SageMaker's reason if it fails or is stopped."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("sagemaker.core.resources").setLevel(logging.INFO)
    try:
        job.wait(logs=True)
    except FailedStatusError as error:
        raise DeliveryError(f"training job {job.training_job_name} failed: {job.failure_reason}") from error
    if job.training_job_status == "Stopped":
        raise DeliveryError(
            f"training job {job.training_job_name} was stopped ({job.secondary_status}). "
            "The same command with --resume continues from its finished fits."
        )


def submit(job: TrainingJob) -> CreatedJob:
    """Upload source and data, and create the job.

    Everything that is wrong with settings, data, bucket and account is reported before anything is uploaded.
    """
    session = boto3.Session()
    image, problems = _image(job, session)
    problems = [*job.problems(), *problems, *_problems_of_account(job, session)]
    fetching = any(argument.startswith("--kaggle") for argument in job.arguments)
    problems += inputs.problems(job.sources, fetching=fetching, session=session)
    if problems:
        raise DeliveryError("no job was created:\n  " + "\n  ".join(problems))
    echo(f"  {job.instance_type}, {image}")
    data = [source for channel, source in job.sources.items() if channel.startswith("data")]
    echo(f"  data: {', '.join(data) or 'none given: the job downloads or generates its own'}")
    if unsent := [name for name in NEVER_SENT if os.environ.get(name)]:
        echo(f"  {' and '.join(unsent)} not sent: everyone who may describe a job can read its environment")
    with step("uploading source and data, creating the job"), tempfile.TemporaryDirectory() as scratch:
        return _create(job, image, session, Path(scratch))


def _create(job: TrainingJob, image: str, session: boto3.Session, scratch: Path) -> CreatedJob:
    code = scratch / "code"
    inputs.pack_source(code)
    channels, names = [], {}
    for channel, source in job.sources.items():
        names[name_variable(channel)] = inputs.name_of(source)
        if source.startswith(inputs.S3):
            channels.append(InputData(channel_name=channel, data_source=inputs.as_prefix(source)))
        else:
            inputs.link_images(source, channel=channel, to=scratch / channel)
            channels.append(InputData(channel_name=channel, data_source=str(scratch / channel)))
    sdk = Session(boto_session=session, default_bucket=job.bucket, sagemaker_config=_without_telemetry())
    logging.getLogger("sagemaker.core.utils.utils").setLevel(logging.ERROR)
    try:
        trainer = ModelTrainer(
            sagemaker_session=sdk,
            role=job.role,
            base_job_name=PROJECT,
            training_image=image,
            source_code=SourceCode(source_dir=str(code), requirements=inputs.REQUIREMENTS, command=COMMAND),
            compute=Compute(instance_type=job.instance_type, instance_count=1, volume_size_in_gb=VOLUME_GB),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=job.hours * 3600),
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{sdk.default_bucket()}/{PROJECT}"),
            environment={"MLFLOW_TRACKING_URI": job.tracking_uri} | names,
            hyperparameters={ARGUMENTS: json.dumps(job.arguments)},
        )
        trainer.train(input_data_config=channels, wait=False, logs=False)
    except (RoleValidationError, ValueError) as error:
        raise DeliveryError(f"no job was created: {error}") from error
    created = trainer._latest_training_job  # as in the SDK's own example
    if created is None:  # the SDK's telemetry wrapper swallows Ctrl-C
        raise KeyboardInterrupt
    return created


def _without_telemetry() -> dict[str, Any]:
    """Return the user's configuration of the SDK with its telemetry switched off."""
    config: dict[str, Any] = {"SchemaVersion": "1.0"} | load_sagemaker_config()
    part = config
    for name in ("SageMaker", "PythonSDK", "Modules"):
        part = part.setdefault(name, {})
    part["TelemetryOptOut"] = True
    return config


def _image(job: TrainingJob, session: boto3.Session) -> tuple[str, list[str]]:
    """Return the image's URI: the given one, or AWS's image with the locked TensorFlow."""
    if job.image or not session.region_name:  # the account's check reports a missing region
        return job.image or "", []
    tensorflow = version("tensorflow")
    try:
        # UNVERIFIED on AWS: its Python, 3.12 for TensorFlow 2.21 by the SDK's list.
        found = image_uris.retrieve(
            "tensorflow", region=session.region_name, version=tensorflow,
            instance_type=job.instance_type, image_scope="training",
        )  # fmt: skip
    except ValueError as error:
        return "", [f"The SDK knows no image with TensorFlow {tensorflow}: name one with --image. ({error})"]
    return str(found), []


def _problems_of_account(job: TrainingJob, session: boto3.Session) -> list[str]:
    if not session.region_name:
        return ["No region is set: export AWS_REGION, for example eu-central-1."]
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except AWS_ERRORS as error:
        return [f"AWS does not answer: {error}. Log in to the account (for example `aws sso login`)."]
    if account == LOCAL_ACCOUNT:
        return ["These credentials are those of local AWS, which has no training jobs: use another shell."]
    if job.bucket is None:
        return []
    try:
        session.client("s3").head_bucket(Bucket=job.bucket)
    except ClientError as error:
        return [
            f"--bucket {job.bucket} cannot be used: {error}. Name one of this account and region, or none."
        ]
    return []
