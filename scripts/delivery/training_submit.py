"""Make a SageMaker training job with the SDK's ModelTrainer.

Nothing here has run on AWS yet: the requests are tested against a mocked SageMaker, and what the SDK's own
script does within the job as processes on a laptop.
"""

from __future__ import annotations

import logging
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
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
from sagemaker.train import ModelTrainer

from infra.local import ACCOUNT as LAPTOP
from scripts.delivery import training_code, training_data
from scripts.delivery.console import DeliveryError, say, step
from scripts.delivery.training_entry import as_hyperparameters, name_variable

if TYPE_CHECKING:
    from scripts.delivery.training_job import TrainingJob

AWS_ERRORS = (BotoCoreError, ClientError)
# `exec`: else the SDK's shell script stays in between and keeps SIGTERM, with which SageMaker stops a job.
COMMAND = "exec $SM_PYTHON_CMD scripts/delivery/training_entry.py"
VOLUME_GB = 30
NEVER_SENT = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def aws_session() -> boto3.Session:
    """Return the account and region that the shell names; boto3 alone does not know AWS_REGION."""
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


def submit(job: TrainingJob) -> str:
    """Upload source and data, create the job, and give its name.

    Raises
    ------
    DeliveryError
        Naming all that is wrong with the settings, the data, the bucket and the account, before anything is
        uploaded; or that the role will not do.
    """
    session = aws_session()
    image, problems = _image(job, session)
    problems = [*job.problems(), *problems, *_problems_of_account(job, session)]
    for channel, source in job.sources.items():
        problems += training_data.problems(source, channel=channel, session=session)
    if problems:
        raise DeliveryError("no job was made:\n  " + "\n  ".join(problems))
    say(f"  {job.instance_type}, {image}")
    say(f"  data: {job.sources.get('data', 'none named: the job fetches or draws its own')}")
    if unsent := [name for name in NEVER_SENT if os.environ.get(name)]:
        say(f"  {' and '.join(unsent)} not sent: a job's environment can be read by all who may describe it")
    with step("uploading source and data, creating the job"), tempfile.TemporaryDirectory() as scratch:
        return _create(job, image, session, Path(scratch))


def _create(job: TrainingJob, image: str, session: boto3.Session, scratch: Path) -> str:
    code = scratch / "code"
    training_code.pack(code, managed_mlflow=job.managed_mlflow)
    inputs = []
    for channel, source in job.sources.items():
        if source.startswith(training_data.S3):
            inputs.append(InputData(channel_name=channel, data_source=training_data.as_prefix(source)))
        else:
            training_data.link(source, channel=channel, to=scratch / channel)
            inputs.append(InputData(channel_name=channel, data_source=str(scratch / channel)))
    names = {name_variable(channel): training_data.name_of(source) for channel, source in job.sources.items()}
    sdk = Session(boto_session=session, default_bucket=job.bucket, sagemaker_config=_without_telemetry())
    logging.getLogger("sagemaker.core.utils.utils").setLevel(logging.ERROR)
    try:
        trainer = ModelTrainer(
            sagemaker_session=sdk,
            role=job.role,
            base_job_name=job.name,
            training_image=image,
            source_code=SourceCode(
                source_dir=str(code), requirements=training_code.REQUIREMENTS, command=COMMAND
            ),
            compute=Compute(
                instance_type=job.instance_type,
                instance_count=job.instance_count,
                volume_size_in_gb=VOLUME_GB,
            ),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=job.hours * 3600),
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{sdk.default_bucket()}/{job.name}"),
            environment={"MLFLOW_TRACKING_URI": job.tracking_uri} | names,
            hyperparameters=as_hyperparameters(job.arguments),
        )
        trainer.train(input_data_config=inputs, wait=False, logs=False)
    except (RoleValidationError, ValueError) as error:
        raise DeliveryError(f"no job was made: {error}") from error
    made = trainer._latest_training_job  # as in the SDK's own example
    if made is None:  # its wrapper for telemetry swallows Ctrl-C
        raise KeyboardInterrupt
    return str(made.training_job_name)


def _without_telemetry() -> dict[str, Any]:
    """Return the reader's own defaults of the SDK, without its reports of each call and error to AWS."""
    config: dict[str, Any] = {"SchemaVersion": "1.0"} | load_sagemaker_config()
    part = config
    for name in ("SageMaker", "PythonSDK", "Modules"):
        part = part.setdefault(name, {})
    part["TelemetryOptOut"] = True
    return config


def _image(job: TrainingJob, session: boto3.Session) -> tuple[str, list[str]]:
    """Find the image's URI: the one named, or AWS's own with the TensorFlow that we train with here."""
    if job.image or not session.region_name:  # the region is missed where the account is looked at
        return job.image or "", []
    tensorflow = version("tensorflow")
    try:
        # Which Python it has (3.12 for 2.21) is the SDK's list to say. Unverified on AWS.
        found = image_uris.retrieve(
            "tensorflow", region=session.region_name, version=tensorflow,
            instance_type=job.instance_type, image_scope="training",
        )  # fmt: skip
    except ValueError as error:
        return "", [f"The SDK knows no image with TensorFlow {tensorflow}: name one with --image. ({error})"]
    return str(found), []


def _problems_of_account(job: TrainingJob, session: boto3.Session) -> list[str]:
    if not session.region_name:
        return ["No region is chosen: export AWS_REGION, for example eu-central-1."]
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except AWS_ERRORS as error:
        return [f"AWS does not answer: {error}. Log in to the account (for example `aws sso login`)."]
    if account == LAPTOP:
        return ["This shell's keys are those of the laptop's AWS, which trains nothing: use another shell."]
    if job.bucket is None:
        return []
    try:
        session.client("s3").head_bucket(Bucket=job.bucket)
    except ClientError as error:
        return [
            f"--bucket {job.bucket} cannot be used: {error}. Name one of this account and region, or none."
        ]
    return []
