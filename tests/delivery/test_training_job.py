"""What `scripts/train --on sagemaker` gives the pipeline, and what it refuses before anything is uploaded."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import boto3
import pytest
from sagemaker.core.telemetry import telemetry_logging

from infra import config
from infra.config.training import Training
from scripts.commands import common, train
from scripts.console import DeliveryError
from scripts.training_job import pipeline
from tests.delivery.conftest import set_account

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings

REGION = "eu-central-1"
NAME = "tensorflow-training"
AWS_IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/{NAME}"
OWN = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/own:1"
TRAINING = Training(image=OWN, mlflow="https://mlflow.example.org", expire_days=1)


def settings(training: Training) -> Settings:
    return replace(config.load("dev"), region=REGION, training=training)


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell with keys and a region, which names neither data nor an MLflow server."""
    set_account(monkeypatch, region=REGION)
    for name in ("TUMOR_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # which is undone, whatever a test does to it
        monkeypatch.delenv(name)


def test_the_job_gets_the_options_about_neither_data_nor_the_pipeline() -> None:
    others, sources = pipeline.split([
        "--quick", "--on", "sagemaker", "--env=dev", "--data", "brain", "--folds", "3", "--masks", "shapes",
        "--steps=4", "--same-patients", "lgg=gliomas", "--kaggle", "--data=healthy", "--note", "it's",
    ])  # fmt: skip
    assert others == [
        *("--quick", "--folds", "3", "--steps=4", "--same-patients", "lgg=gliomas"),
        *("--kaggle", "--note", "it's"),
    ]
    assert sources == {"data": "brain", "data_2": "healthy", "masks": "shapes"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--on sagemaker", "write both, or none"),
        ("--env dev", "write both, or none"),
        ("--on here --env dev", "write both, or none"),
        ("--on sagemaker --env dev --data s3://scans/a", "`aws s3 sync s3://scans/a DIR`"),
        ("--masks s3://scans/m", "`aws s3 sync s3://scans/m DIR`"),
        ("--on sagemaker --env dev --role trainer", "unrecognized arguments: --role trainer"),
    ],
)
def test_arguments_that_cannot_work_are_refused(
    arguments: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        train.main(arguments.split())
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "reason"),
    [("--data nowhere", "✗ nowhere is not a folder"), ("--data half", "yes/ holds no readable")],
)
def test_a_problem_of_the_images_is_told_before_aws_is_asked(
    given: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "half" / "yes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    piped = settings(TRAINING)
    monkeypatch.setattr(config, "load", lambda _: piped)
    monkeypatch.setattr(common, "connect", lambda _: None)
    monkeypatch.delattr(boto3, "client")
    with pytest.raises(SystemExit, match="1"):
        train.main(["--on", "sagemaker", "--env", "dev", *given.split()])
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(("instance", "kind"), [("ml.c7i.2xlarge", "cpu"), ("ml.g5.xlarge", "gpu")])
def test_an_image_of_aws_must_fit_the_region_the_instance_and_the_locked_tensorflow(
    instance: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(telemetry_logging, "_send_telemetry_request", lambda *what: sent.append(what))
    right = f"{AWS_IMAGE}:{version('tensorflow')}-{kind}-py312"
    for image in (right, f"{right}-ubuntu22.04", f"{AWS_IMAGE}@sha256:{'0' * 64}", OWN):
        pipeline.prepare(settings(replace(TRAINING, image=image, instance_type=instance)))
    other = {"cpu": "gpu", "gpu": "cpu"}[kind]
    changes = ((REGION, "eu-west-1"), ("763104351884", "123456789012"), ("py312", "py310"), (kind, other))
    for image in (right.replace(*change) for change in changes):
        with pytest.raises(DeliveryError, match=rf"AWS's is {right}: write that and deploy\."):
            pipeline.prepare(settings(replace(TRAINING, image=image, instance_type=instance)))
    assert sent == []


def test_a_tensorflow_without_an_image_of_aws_takes_one_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "version", lambda _name: "99.0.0")
    with pytest.raises(DeliveryError, match="write one of your own registry"):
        pipeline.prepare(settings(replace(TRAINING, image=f"{AWS_IMAGE}:99.0.0-cpu-py312")))
    pipeline.prepare(settings(TRAINING))
