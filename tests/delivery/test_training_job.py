"""The job that `scripts/train --on sagemaker` creates, and what it refuses."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING
from unittest.mock import Mock

import boto3
import pytest
from PIL import Image
from sagemaker.core.resources import TrainingJob as CreatedJob
from sagemaker.core.telemetry import telemetry_logging

from scripts.commands import train
from scripts.console import DeliveryError
from scripts.training_job import inputs
from scripts.training_job import job as training_job
from scripts.training_job import submit as training_submit
from scripts.training_job.job import TrainingJob
from scripts.training_job.submit import run
from tests.delivery.conftest import BUCKET, REGION, ROLE, TRACKING, make_role

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from tests.delivery.conftest import Aws

MANAGED = "arn:aws:sagemaker:eu-central-1:123456789012:mlflow-tracking-server/runs"
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/own:1"
JOB = TrainingJob(tracking_uri=TRACKING, role=ROLE, bucket=BUCKET, image=IMAGE)


def parse(*arguments: str) -> tuple[argparse.Namespace, list[str]]:
    """Parse as `scripts/train` does; return the arguments too."""
    return train.parse(arguments), [*arguments]


def test_the_request_describes_the_training(training_aws: Aws, images: Path) -> None:
    job = replace(
        JOB,
        role="trainer",
        arguments=("--quick", "--architecture", "a", "--architecture", "b", "--folds=3"),
        sources={"data": str(images)},
        instance_type="ml.m7i.4xlarge",
        hours=2,
    )
    name = training_submit.submit(job).training_job_name
    made = training_aws.made()
    assert made["TrainingJobName"] == name
    assert name.startswith("tumor-detector-")
    assert made["RoleArn"] == ROLE
    assert made["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert made["ResourceConfig"] == {
        "InstanceType": "ml.m7i.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30
    }  # fmt: skip
    assert made["StoppingCondition"]["MaxRuntimeInSeconds"] == 2 * 3600
    assert made["OutputDataConfig"]["S3OutputPath"] == f"s3://{BUCKET}/tumor-detector"
    assert json.loads(made["HyperParameters"]["arguments"]) == list(job.arguments)
    assert made["Environment"] == {"MLFLOW_TRACKING_URI": TRACKING, "TUMOR_DATA_NAME": "my_scans"}
    assert set(training_aws.channels()) == {"data", "code", "sm_drivers"}


def test_each_source_has_a_channel(
    training_aws: Aws, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given two sources, one of them of one class, and outlines kept elsewhere
    (tmp_path / "healthy").mkdir()
    (images / "no").rename(tmp_path / "healthy" / "no")
    outlined = sorted((images / "yes").iterdir())[0]
    with Image.open(outlined) as image:
        mask = Image.new("L", image.size)
    mask.paste(255, (1, 1, 9, 9))
    (tmp_path / "shapes").mkdir()
    mask.save(tmp_path / "shapes" / f"{outlined.name}.png")
    (tmp_path / "shapes" / "notes.txt").write_text("of a patient")
    where = ("--on", "sagemaker", "--role", ROLE, "--bucket", BUCKET, "--image", IMAGE, "--no-wait")
    data = ("--data", str(images), "--data", str(tmp_path / "healthy"), "--masks", str(tmp_path / "shapes"))
    run(*parse(*where, *data))
    assert "aws logs tail /aws/sagemaker/TrainingJobs" in capsys.readouterr().err
    assert set(training_aws.channels()) == {"data", "data_2", "masks", "code", "sm_drivers"}
    assert set(training_aws.uploaded("masks")) == {f"{outlined.name}.png"}
    assert {name.split("/")[0] for name in training_aws.uploaded("data_2")} == {"no"}
    assert training_aws.made()["Environment"]["TUMOR_DATA_2_NAME"] == "healthy"
    # And that a class is missing in all of them is said before anything is created
    (found,) = inputs.problems({"data": str(tmp_path / "healthy")}, fetching=False, session=boto3.Session())
    assert "yes/ holds no readable" in found
    assert not inputs.problems({"data": str(tmp_path / "healthy")}, fetching=True, session=boto3.Session())


def test_data_in_s3_is_not_copied(training_aws: Aws) -> None:
    for key in ("sets/brain/yes/1.jpg", "sets/brain/no/1.jpg", "sets/brain-2/no/1.jpg"):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"image")
    training_submit.submit(replace(JOB, sources={"data": f"s3://{BUCKET}/sets/brain"}))
    # The slash keeps brain-2 out: a channel has all keys that begin with its prefix.
    assert training_aws.channels()["data"] == f"s3://{BUCKET}/sets/brain/"
    assert training_aws.made()["Environment"]["TUMOR_DATA_NAME"] == "brain"
    assert not any(key.endswith("input/data/yes/1.jpg") for key in training_aws.objects())


@pytest.mark.parametrize(
    ("channel", "source", "problem"),
    [
        ("data", f"s3://{BUCKET}/sets/half", "has no no"),
        ("data", f"s3://{BUCKET}/sets/nothing", "has no no and no yes"),
        ("masks", f"s3://{BUCKET}/sets/nothing", "has no outlines"),
    ],
)
def test_images_that_a_job_cannot_train_on_are_refused(
    training_aws: Aws, channel: str, source: str, problem: str
) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="sets/half/yes/1.jpg", Body=b"image")
    (found,) = inputs.problems({channel: source}, fetching=False, session=boto3.Session())
    assert found.startswith(f"--{channel}: ")
    assert problem in found


@pytest.mark.parametrize(("instance_type", "kind"), [("ml.c7i.2xlarge", "cpu"), ("ml.g5.xlarge", "gpu")])
def test_the_default_image_has_the_locked_tensorflow(
    training_aws: Aws, instance_type: str, kind: str
) -> None:
    training_submit.submit(replace(JOB, image=None, instance_type=instance_type))
    image = training_aws.made()["AlgorithmSpecification"]["TrainingImage"]
    registry, _, tag = image.partition("/")
    assert registry.endswith(f".dkr.ecr.{REGION}.amazonaws.com")
    assert tag.startswith(f"tensorflow-training:{version('tensorflow')}-{kind}-py3")


def test_a_tensorflow_without_an_image_requires_one(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_submit, "version", lambda _name: "99.0.0")
    with pytest.raises(DeliveryError, match=r"no image with TensorFlow 99\.0\.0: name one with --image"):
        training_submit.submit(replace(JOB, image=None))


def test_all_problems_are_reported_before_anything_is_created(training_aws: Aws, tmp_path: Path) -> None:
    job = replace(
        JOB,
        role=None,
        bucket="no-such-bucket",
        tracking_uri="sqlite:///mlruns/mlflow.db",
        instance_type="c7i",
        hours=0,
        sources={"data": str(tmp_path / "nowhere")},
    )
    with pytest.raises(DeliveryError, match=r"^no job was created:") as failure:
        training_submit.submit(job)
    for problem in (
        "--role is missing", "--bucket no-such-bucket cannot be used", "only this machine can reach it",
        "--instance-type c7i", "--max-hours 0", f"--data: {tmp_path / 'nowhere'} is not a folder",
    ):  # fmt: skip
        assert problem in str(failure.value)
    assert not {"CreateTrainingJob", "PutObject"} & {operation for operation, _ in training_aws.requests}


@pytest.mark.parametrize(
    "uri",
    [
        "", "mlruns", "file:///srv/mlruns", "sqlite:////srv/mlflow.db", "postgresql://db/mlflow",
        "http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000", "https://0.0.0.0",
        "databricks", "https://me:secret@mlflow.example.org", "http://[broken", "arn:aws:s3:::runs",
    ],
)  # fmt: skip
def test_a_tracking_server_that_a_job_cannot_reach_is_refused(uri: str) -> None:
    (problem,) = replace(JOB, tracking_uri=uri).problems()
    assert problem.startswith("MLFLOW_TRACKING_URI")


@pytest.mark.parametrize("uri", [TRACKING, "http://10.0.0.7:5000", "http://mlflow:5000/", MANAGED])
def test_a_tracking_server_that_a_job_can_reach_is_accepted(uri: str) -> None:
    assert replace(JOB, tracking_uri=uri).problems() == []


def test_a_role_that_sagemaker_cannot_assume_is_named(training_aws: Aws) -> None:
    make_role("of-lambda", trusted={"Service": "lambda.amazonaws.com"})
    with pytest.raises(DeliveryError, match=r"of-lambda(.|\n)*trust policy"):
        training_submit.submit(replace(JOB, role="of-lambda"))


def test_an_account_without_training_jobs_is_refused(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = boto3.client("sts").get_caller_identity()["Account"]
    monkeypatch.setattr(training_submit, "LOCAL_ACCOUNT", account)
    with pytest.raises(DeliveryError, match="local AWS, which has no training jobs"):
        training_submit.submit(JOB)
    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", lambda _self: None)
    with pytest.raises(DeliveryError, match="AWS does not answer: Unable to locate credentials"):
        training_submit.submit(JOB)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(DeliveryError, match=r"--role is missing(.|\n)*export AWS_REGION"):
        training_submit.submit(replace(JOB, role=None, image=None))


def test_neither_telemetry_nor_secrets_of_the_tracking_server_are_sent(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(telemetry_logging, "_send_telemetry_request", lambda *what: sent.append(what))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "very-secret")
    training_submit.submit(JOB)
    assert sent == []
    assert "very-secret" not in str(training_aws.made())
    assert "MLFLOW_TRACKING_TOKEN not sent" in capsys.readouterr().err


def test_the_command_line_becomes_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", MANAGED)
    parsed, arguments = parse(
        "--quick", "--on", "sagemaker", "--data", "s3://bucket/brain", "--role", "trainer", "--folds", "3",
        "--instance-type=ml.g5.xlarge", "--steps", "4", "--same-patients", "lgg=gliomas", "--resume",
        "--masks", "shapes",
        "--bucket", "own", "--image", IMAGE, "--max-hours", "3", "--no-wait",
    )  # fmt: skip
    assert training_job.from_options(parsed, arguments) == TrainingJob(
        tracking_uri=MANAGED,
        role="trainer",
        arguments=("--quick", "--folds", "3", "--steps", "4", "--same-patients", "lgg=gliomas", "--resume"),
        sources={"data": "s3://bucket/brain", "masks": "shapes"},
        bucket="own",
        image=IMAGE,
        instance_type="ml.g5.xlarge",
        hours=3,
    )


def test_data_is_found_as_for_a_local_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TUMOR_DATA", raising=False)
    monkeypatch.setattr(training_job, "ROOT", tmp_path)
    assert training_job.from_options(*parse()).sources == {}
    (tmp_path / "data").mkdir()
    assert training_job.from_options(*parse()).sources == {"data": str(tmp_path / "data")}
    monkeypatch.setenv("TUMOR_DATA", "/elsewhere")
    assert training_job.from_options(*parse()).sources == {"data": "/elsewhere"}
    assert training_job.from_options(*parse("--data", "named")).sources == {"data": "named"}
    fetching = training_job.from_options(*parse("--kaggle"))
    assert (fetching.sources, fetching.arguments) == ({}, ("--kaggle",))
    several = training_job.from_options(*parse("--data", "s3://b/a", "--masks", "m", "--data", "c"))
    assert several.sources == {"data": "s3://b/a", "data_2": "c", "masks": "m"}
    assert "19 folders are more than 18" in " ".join(
        replace(JOB, sources={f"data_{number}": "x" for number in range(19)}).problems()
    )


def test_an_argument_that_the_sdks_script_would_break_is_refused() -> None:
    (problem,) = replace(JOB, arguments=("--note", "it's")).problems()
    assert "apostrophe" in problem


def test_ctrl_c_names_the_commands_that_follow_and_stop_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    created = CreatedJob(training_job_name="evening-1")
    monkeypatch.setattr(training_submit, "submit", lambda _job: created)
    monkeypatch.setattr(training_submit, "follow", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(SystemExit) as end:
        run(*parse("--on", "sagemaker"))
    assert end.value.code == 130
    printed = capsys.readouterr().err
    assert "job evening-1 continues" in printed
    assert "aws sagemaker stop-training-job --training-job-name evening-1" in printed


def described(status: str, **more: str) -> dict[str, object]:
    job = {"TrainingJobName": "evening-1", "TrainingJobStatus": status, "SecondaryStatus": status}
    return {**job, "FailureReason": "no folds", "CreationTime": datetime.now(UTC), **more}


def test_a_job_is_followed_to_its_end_with_its_log(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    logs = boto3.client("logs", REGION)
    stream = "evening-1/algo-1"
    logs.create_log_group(logGroupName=training_submit.LOG_GROUP)
    logs.create_log_stream(logGroupName=training_submit.LOG_GROUP, logStreamName=stream)
    event = {"timestamp": int(time.time() * 1000), "message": "fold 1 of 3"}
    logs.put_log_events(logGroupName=training_submit.LOG_GROUP, logStreamName=stream, logEvents=[event])
    training_aws.answers["DescribeTrainingJob"] = described("Completed")
    created = CreatedJob(training_job_name="evening-1")
    monkeypatch.setattr(training_submit, "submit", lambda _job: created)
    run(*parse("--on", "sagemaker"))
    assert "fold 1 of 3" in caplog.text


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (described("Failed"), "evening-1 failed: no folds"),
        (
            described("Stopped", SecondaryStatus="MaxRuntimeExceeded"),
            r"\(MaxRuntimeExceeded\)(.|\n)*--resume",
        ),
    ],
)
def test_another_end_is_an_error_with_its_reason(
    training_aws: Aws, end: dict[str, object], reason: str
) -> None:
    training_aws.answers["DescribeTrainingJob"] = end
    with pytest.raises(DeliveryError, match=reason):
        training_submit.follow(CreatedJob(training_job_name="evening-1"))
