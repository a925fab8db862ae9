"""A mocked AWS for training jobs, which records every request."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import jsonschema  # type: ignore[import-untyped]
import pytest
from botocore.client import BaseClient
from moto import mock_aws

from model.data import phantom
from scripts.training_job import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION: Final = "eu-central-1"
BUCKET = "training"
ROLE = "arn:aws:iam::123456789012:role/trainer"
TRACKING = "https://mlflow.example.org"


@dataclass
class Aws:
    """A mocked account with one bucket and one role that SageMaker can assume."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    """Answers of operations in place of moto's."""

    def made(self) -> dict[str, Any]:
        """The one CreateTrainingJob request, as the SDK sent it: moto drops parts of it."""
        (request,) = (sent for operation, sent in self.requests if operation == "CreateTrainingJob")
        return request

    def channels(self) -> dict[str, str]:
        """S3 prefix of each of the job's channels."""
        return {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in self.made()["InputDataConfig"]
        }

    def objects(self) -> dict[str, bytes]:
        """Content of each object in the bucket."""
        s3 = boto3.client("s3")
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def uploaded(self, channel: str) -> dict[str, bytes]:
        """Content of each file that the job finds in a channel, by its path there."""
        prefix = self.channels()[channel].removeprefix(f"s3://{BUCKET}/").rstrip("/") + "/"
        return {
            key.removeprefix(prefix): held for key, held in self.objects().items() if key.startswith(prefix)
        }


VALID: set[tuple[str, int]] = set()
VALIDATE = jsonschema.validate


def validate_once(instance: object, schema: dict[str, object]) -> None:
    """Validate once: the SDK validates its configuration at every look-up, most of a test's time."""
    key = json.dumps(instance, sort_keys=True), id(schema)
    if key not in VALID:
        VALIDATE(instance, schema)
        VALID.add(key)


@pytest.fixture
def training_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    set_account(monkeypatch, region=REGION)
    monkeypatch.delenv("TUMOR_DATA", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", TRACKING)
    monkeypatch.setattr(inputs, "FOLDERS", ())  # for speed; test_training_code packs everything
    monkeypatch.setattr(jsonschema, "validate", validate_once)
    made = Aws()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def record_call(client: BaseClient, operation: str, sent: dict[str, Any]) -> Any:
        made.requests.append((operation, sent))
        if operation in made.answers:
            return made.answers[operation]
        if operation == "SimulatePrincipalPolicy":  # which moto does not know
            allowed = [{"EvalActionName": name, "EvalDecision": "allowed"} for name in sent["ActionNames"]]
            return {"EvaluationResults": allowed, "IsTruncated": False}
        return call(client, operation, sent)

    monkeypatch.setattr(BaseClient, "_make_api_call", record_call)
    with mock_aws():
        boto3.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        make_role(ROLE.rpartition("/")[2], trusted={"Service": "sagemaker.amazonaws.com"})
        yield made


def set_account(monkeypatch: pytest.MonkeyPatch, *, region: str = "eu-west-1") -> None:
    """Set keys and a region, and nothing else of what a shell may configure for AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, region)


def make_role(name: str, *, trusted: dict[str, str]) -> None:
    statement = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(policy))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A few phantoms, in a folder whose name runs should show."""
    phantom.write_folder(tmp_path / "my_scans", count=4, seed=0)
    return tmp_path / "my_scans"
