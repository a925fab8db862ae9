"""`scripts/train --on sagemaker` asks SageMaker for the training that was described, or says why not."""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from sagemaker.core.telemetry import telemetry_logging

from model import phantom
from scripts.delivery import training_job, training_submit, training_watch
from scripts.delivery.console import DeliveryError
from scripts.delivery.training_entry import as_hyperparameters, as_options
from scripts.delivery.training_job import TrainingJob
from tests.delivery.conftest import BUCKET, REGION, ROLE, TRACKING, make_role

if TYPE_CHECKING:
    from tests.delivery.conftest import Aws

MANAGED = "arn:aws:sagemaker:eu-central-1:123456789012:mlflow-tracking-server/runs"
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/own:1"
JOB = TrainingJob(tracking_uri=TRACKING, role=ROLE, bucket=BUCKET, image=IMAGE)


def options(*arguments: str) -> tuple[argparse.Namespace, list[str]]:
    """Parse as `scripts/train` does, and give with it what is passed on to the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pretrain", type=Path)
    for flag in ("--kaggle", "--quick", "--resume"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--architecture", action="append")
    parser.add_argument("--folds", type=int)
    training_job.add_arguments(parser)
    return parser.parse_args(arguments), training_job.passed_on([*arguments])


def test_the_request_is_the_training_that_was_described(training_aws: Aws, images: Path) -> None:
    # Given
    job = replace(
        JOB,
        arguments=("--quick", "--architecture", "a", "--architecture", "b", "--folds=3"),
        sources={"data": str(images)},
        name="evening",
        instance_type="ml.m7i.4xlarge",
        hours=2,
    )
    # When
    name = training_submit.submit(job)
    # Then
    made = training_aws.made()
    assert made["TrainingJobName"] == name
    assert name.startswith("evening-")
    assert made["RoleArn"] == ROLE
    assert made["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert made["ResourceConfig"] == {
        "InstanceType": "ml.m7i.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30
    }  # fmt: skip
    assert made["StoppingCondition"]["MaxRuntimeInSeconds"] == 2 * 3600
    assert made["OutputDataConfig"]["S3OutputPath"] == f"s3://{BUCKET}/evening"
    assert made["HyperParameters"] == {"quick": "true", "architecture": '["a", "b"]', "folds": "3"}
    assert made["Environment"] == {"MLFLOW_TRACKING_URI": TRACKING, "TUMOR_DATA_NAME": "my_scans"}
    assert set(training_aws.channels()) == {"data", "code", "sm_drivers"}
    described = boto3.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert described["RoleArn"] == ROLE


def test_of_a_data_folder_only_the_images_are_uploaded(training_aws: Aws, images: Path) -> None:
    (images / "letters").mkdir()
    (images / "letters" / "to_a_patient.txt").write_text("private")
    (images / "yes" / ".DS_Store").write_text("rubbish")
    training_submit.submit(replace(JOB, sources={"data": str(images)}))
    held = training_aws.uploaded("data")
    drawn = [path for label in ("yes", "no") for path in (images / label).glob("*.png")]
    assert len(drawn) == 4
    assert held == {
        ".phantom": (images / ".phantom").read_bytes(),
        **{f"{path.parent.name}/{path.name}": path.read_bytes() for path in drawn},
    }


def test_a_kaggle_set_to_pretrain_on_is_not_sent_as_nothing(training_aws: Aws) -> None:
    job = replace(JOB, sources={**JOB.sources, "pretrain": "kaggle:owner/name"})
    with pytest.raises(DeliveryError, match=r"--pretrain: kaggle:owner/name is fetched here only"):
        training_submit.submit(job)


def test_pretraining_images_are_a_channel_of_their_own_at_any_depth(
    training_aws: Aws, images: Path, tmp_path: Path
) -> None:
    for source, kind in ((1, "glioma"), (2, "meningioma"), (3, "oasis/mild"), (4, "oasis/none")):
        (tmp_path / "extra" / kind).mkdir(parents=True)
        (tmp_path / "extra" / kind / "1.png").write_bytes(phantom.png(seed=source, lesion=True))
    (tmp_path / "extra" / "README.txt").write_text("notes")
    training_submit.submit(replace(JOB, sources={"data": str(images), "pretrain": str(tmp_path / "extra")}))
    assert set(training_aws.uploaded("pretrain")) == {
        "glioma/1.png", "meningioma/1.png", "oasis/mild/1.png", "oasis/none/1.png"
    }  # fmt: skip
    assert training_aws.made()["Environment"]["TUMOR_PRETRAIN_NAME"] == "extra"


def test_data_that_is_in_s3_stays_there(training_aws: Aws) -> None:
    for key in ("sets/brain/yes/1.jpg", "sets/brain/no/1.jpg", "sets/brain-2/no/1.jpg"):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"image")
    training_submit.submit(replace(JOB, sources={"data": f"s3://{BUCKET}/sets/brain"}))
    # The slash keeps brain-2 out: a channel has all keys that begin with its prefix.
    assert training_aws.channels()["data"] == f"s3://{BUCKET}/sets/brain/"
    assert training_aws.made()["Environment"]["TUMOR_DATA_NAME"] == "brain"
    assert not any(key.endswith("input/data/yes/1.jpg") for key in training_aws.objects())


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("sets/half", "has no no"),
        ("sets/nothing", "has no no and no yes"),
    ],
)
def test_a_prefix_without_both_classes_is_refused(training_aws: Aws, prefix: str, said: str) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="sets/half/yes/1.jpg", Body=b"image")
    with pytest.raises(DeliveryError, match=said):
        training_submit.submit(replace(JOB, sources={"data": f"s3://{BUCKET}/{prefix}"}))


@pytest.mark.parametrize(("instance_type", "kind"), [("ml.c7i.2xlarge", "cpu"), ("ml.g5.xlarge", "gpu")])
def test_by_default_the_image_is_awss_with_our_tensorflow(
    training_aws: Aws, instance_type: str, kind: str
) -> None:
    training_submit.submit(replace(JOB, image=None, instance_type=instance_type))
    image = training_aws.made()["AlgorithmSpecification"]["TrainingImage"]
    registry, _, tag = image.partition("/")
    assert registry.endswith(f".dkr.ecr.{REGION}.amazonaws.com")
    assert tag.startswith(f"tensorflow-training:{version('tensorflow')}-{kind}-py3")


def test_a_tensorflow_without_image_asks_for_one(training_aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_submit, "version", lambda _name: "99.0.0")
    with pytest.raises(DeliveryError, match=r"no image with TensorFlow 99\.0\.0: name one with --image"):
        training_submit.submit(replace(JOB, image=None))


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_made(training_aws: Aws, tmp_path: Path) -> None:
    job = replace(
        JOB,
        role=None,
        bucket="no-such-bucket",
        tracking_uri="sqlite:///mlruns/mlflow.db",
        instance_type="c7i",
        instance_count=2,
        name="an evening",
        hours=0,
        sources={"data": str(tmp_path / "nowhere"), "pretrain": str(tmp_path / "neither")},
    )
    with pytest.raises(DeliveryError) as failure:
        training_submit.submit(job)
    for said in (
        "--role is missing", "--bucket no-such-bucket cannot be used", "only this machine can reach it",
        "--instance-type c7i", "--instance-count 2: only 1 makes sense", "--job-name an evening",
        "--max-hours 0", f"--data: {tmp_path / 'nowhere'} is not a folder",
        f"--pretrain: {tmp_path / 'neither'} is not a folder",
    ):  # fmt: skip
        assert said in str(failure.value)
    assert not {"CreateTrainingJob", "PutObject"} & {operation for operation, _ in training_aws.requests}


@pytest.mark.parametrize(
    "uri",
    [
        "", "mlruns", "file:///srv/mlruns", "sqlite:////srv/mlflow.db", "postgresql://db/mlflow",
        "http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000", "https://0.0.0.0",
        "databricks", "https://me:secret@mlflow.example.org", "http://[broken", "arn:aws:s3:::runs",
    ],
)  # fmt: skip
def test_a_store_that_a_job_cannot_or_should_not_reach_is_refused(uri: str) -> None:
    (problem,) = replace(JOB, tracking_uri=uri).problems()
    assert problem.startswith("MLFLOW_TRACKING_URI")


@pytest.mark.parametrize("uri", [TRACKING, "http://10.0.0.7:5000", "http://mlflow:5000/", MANAGED])
def test_a_store_that_a_job_may_reach_is_taken(uri: str) -> None:
    assert replace(JOB, tracking_uri=uri).problems() == []


@pytest.mark.parametrize(("uri", "with_plugin"), [(TRACKING, False), (MANAGED, True)])
def test_managed_mlflow_brings_its_plugin(training_aws: Aws, uri: str, with_plugin: bool) -> None:
    training_submit.submit(replace(JOB, tracking_uri=uri))
    packages = training_aws.uploaded("code")["requirements.txt"].decode()
    assert ("sagemaker-mlflow==" in packages) == with_plugin
    assert training_aws.made()["Environment"]["MLFLOW_TRACKING_URI"] == uri


def test_a_role_that_sagemaker_may_not_take_is_named(training_aws: Aws) -> None:
    make_role("of-lambda", trusted="lambda.amazonaws.com")
    with pytest.raises(DeliveryError, match=r"of-lambda(.|\n)*trust policy"):
        training_submit.submit(replace(JOB, role="of-lambda"))


def test_a_role_may_be_given_by_its_name(training_aws: Aws) -> None:
    training_submit.submit(replace(JOB, role="trainer"))
    assert training_aws.made()["RoleArn"] == ROLE


def test_the_laptops_own_aws_is_refused(training_aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_submit, "LAPTOP", boto3.client("sts").get_caller_identity()["Account"])
    with pytest.raises(DeliveryError, match="laptop's AWS, which trains nothing"):
        training_submit.submit(JOB)


def test_without_a_region_that_is_said_with_all_the_rest(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(DeliveryError, match=r"--role is missing(.|\n)*export AWS_REGION"):
        training_submit.submit(replace(JOB, role=None, image=None))


def test_without_credentials_aws_is_said_not_to_answer(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", lambda _self: None)
    with pytest.raises(DeliveryError, match="AWS does not answer: Unable to locate credentials"):
        training_submit.submit(JOB)


def test_the_sdk_reports_nothing_to_anybody(training_aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(telemetry_logging, "_send_telemetry_request", lambda *what: sent.append(what))
    training_submit.submit(JOB)
    assert sent == []


def test_secrets_of_the_tracking_server_stay_here(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "very-secret")
    training_submit.submit(JOB)
    assert "very-secret" not in str(training_aws.made())
    assert "MLFLOW_TRACKING_TOKEN not sent" in capsys.readouterr().err


def test_the_command_line_becomes_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", MANAGED)
    parsed, passed_on = options(
        "--quick", "--on", "sagemaker", "--data", "s3://bucket/brain", "--role", "trainer", "--folds", "3",
        "--instance-type=ml.g5.xlarge", "--pretrain", str(tmp_path), "--architecture", "a", "--resume",
        "--bucket", "own", "--image", IMAGE, "--job-name", "evening", "--max-hours", "3", "--no-wait",
    )  # fmt: skip
    assert training_job.from_options(parsed, passed_on) == TrainingJob(
        tracking_uri=MANAGED,
        role="trainer",
        arguments=("--quick", "--folds", "3", "--architecture", "a", "--resume"),
        sources={"data": "s3://bucket/brain", "pretrain": str(tmp_path)},
        name="evening",
        bucket="own",
        image=IMAGE,
        instance_type="ml.g5.xlarge",
        hours=3,
    )


def test_data_is_found_as_for_a_training_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TUMOR_DATA", raising=False)
    monkeypatch.setattr(training_job, "ROOT", tmp_path)
    assert training_job.from_options(*options()).sources == {}
    (tmp_path / "data").mkdir()
    assert training_job.from_options(*options()).sources == {"data": str(tmp_path / "data")}
    monkeypatch.setenv("TUMOR_DATA", "/elsewhere")
    assert training_job.from_options(*options()).sources == {"data": "/elsewhere"}
    assert training_job.from_options(*options("--data", "named")).sources == {"data": "named"}
    fetching = training_job.from_options(*options("--kaggle"))
    assert (fetching.sources, fetching.arguments) == ({}, ("--kaggle",))


@pytest.mark.parametrize(
    ("arguments", "hyperparameters"),
    [
        ([], {}),
        (["--quick"], {"quick": "true"}),
        (["--folds", "3", "--quick"], {"folds": "3", "quick": "true"}),
        (["--note=a b"], {"note": "a b"}),
        (["--mixup", "-1"], {"mixup": "-1"}),
        (
            ["--architecture", "a", "--seed=1", "--architecture=b"],
            {"architecture": '["a", "b"]', "seed": "1"},
        ),
    ],
)
def test_options_survive_as_hyperparameters(arguments: list[str], hyperparameters: dict[str, str]) -> None:
    assert as_hyperparameters(arguments) == hyperparameters
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--architecture", action="append")
    for name in ("--folds", "--note", "--mixup", "--seed"):
        parser.add_argument(name)
    assert parser.parse_args(as_options(hyperparameters)) == parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("stray",), "'stray' is no option"), (("--note", "it's"), "An apostrophe")],
)
def test_what_cannot_be_handed_to_a_job_is_refused(arguments: tuple[str, ...], said: str) -> None:
    (problem,) = replace(JOB, arguments=arguments).problems()
    assert said in problem


def test_ctrl_c_says_how_to_follow_and_stop_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_submit, "submit", lambda _job: "evening-1")
    monkeypatch.setattr(training_watch, "follow", stopped)
    with pytest.raises(SystemExit) as end:
        training_job.run(*options("--on", "sagemaker"))
    assert end.value.code == 130
    said = capsys.readouterr().err
    assert "job evening-1 goes on" in said
    assert "aws sagemaker stop-training-job --training-job-name evening-1" in said


def test_a_job_that_was_stopped_over_uploading_is_not_taken_for_made(
    training_aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sagemaker.core.helper.session_helper.Session.upload_data", stopped)
    with pytest.raises(KeyboardInterrupt):
        training_submit.submit(JOB)


def test_without_waiting_the_job_is_made_and_left(
    training_aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed, passed_on = options(
        "--on", "sagemaker", "--role", ROLE, "--bucket", BUCKET, "--image", IMAGE, "--no-wait", "--kaggle"
    )
    training_job.run(parsed, passed_on)
    assert training_aws.made()["HyperParameters"] == {"kaggle": "true"}
    assert "aws logs tail /aws/sagemaker/TrainingJobs" in capsys.readouterr().err


def test_a_failure_is_one_message_of_the_command(training_aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(
        SystemExit, match=r"^scripts/train: no job was made:(.|\n)*MLFLOW_TRACKING_URI is not set"
    ):
        training_job.run(*options("--on", "sagemaker"))
