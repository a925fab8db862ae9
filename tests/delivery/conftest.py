"""A mocked AWS on which a training job can be made, with each of its requests kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import jsonschema  # type: ignore[import-untyped]
import pytest
from botocore.client import BaseClient
from moto import mock_aws

from model import phantom
from scripts.delivery import training_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION: Final = "eu-central-1"
BUCKET = "training"
ROLE = "arn:aws:iam::123456789012:role/trainer"
TRACKING = "https://mlflow.example.org"
TRUSTED = "sagemaker.amazonaws.com"


@dataclass
class Aws:
    """A mocked account with one bucket and one role that SageMaker may take."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def made(self) -> dict[str, Any]:
        """The one CreateTrainingJob request, as the SDK sent it: moto forgets parts of it."""
        (request,) = (sent for operation, sent in self.requests if operation == "CreateTrainingJob")
        return request

    def channels(self) -> dict[str, str]:
        """S3 prefix of each of the job's channels."""
        return {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in self.made()["InputDataConfig"]
        }

    def objects(self) -> dict[str, bytes]:
        """All that the bucket holds."""
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
    """The SDK checks its configuration whenever it looks something up, which would take most of the time."""
    key = json.dumps(instance, sort_keys=True), id(schema)
    if key not in VALID:
        VALIDATE(instance, schema)
        VALID.add(key)


@pytest.fixture
def training_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "TUMOR_DATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", TRACKING)
    monkeypatch.setattr(training_code, "FOLDERS", ())  # for speed; its own tests see all that is packed
    monkeypatch.setattr(jsonschema, "validate", validate_once)
    made = Aws()
    ask = BaseClient._make_api_call  # type: ignore[attr-defined]

    def asked(client: BaseClient, operation: str, sent: dict[str, Any]) -> Any:
        made.requests.append((operation, sent))
        if operation == "SimulatePrincipalPolicy":  # which moto does not know
            allowed = [{"EvalActionName": name, "EvalDecision": "allowed"} for name in sent["ActionNames"]]
            return {"EvaluationResults": allowed, "IsTruncated": False}
        return ask(client, operation, sent)

    monkeypatch.setattr(BaseClient, "_make_api_call", asked)
    with mock_aws():
        boto3.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        make_role(ROLE.rpartition("/")[2], trusted=TRUSTED)
        yield made


def make_role(name: str, *, trusted: str) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(policy))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A few drawn images, under a name that runs should know them by."""
    phantom.write_folder(tmp_path / "my_scans", count=4, seed=0)
    return tmp_path / "my_scans"
