"""The bucket holds exactly the artifact that a release names, or the deploy stops."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from infra.release import artifact_key
from scripts.delivery import artifacts
from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "models"
CONTENT = b"an artifact"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty bucket of a mocked AWS, and an empty store on this machine."""
    for key, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(artifacts, "STORE", tmp_path / "store")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield BUCKET


def keep(tmp_path: Path, content: bytes = CONTENT) -> str:
    source = tmp_path / "model.tar.gz"
    source.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    artifacts.keep(source, sha256=sha256)
    return sha256


def test_a_missing_artifact_is_uploaded_from_the_store(bucket: str, tmp_path: Path) -> None:
    keep(tmp_path)
    artifacts.ensure_uploaded(bucket, sha256=SHA256)
    uploaded = boto3.client("s3").get_object(Bucket=bucket, Key=artifact_key(SHA256))
    assert uploaded["Body"].read() == CONTENT


def test_an_artifact_that_is_there_is_not_uploaded_again(bucket: str, tmp_path: Path) -> None:
    keep(tmp_path)
    artifacts.ensure_uploaded(bucket, sha256=SHA256)
    before = boto3.client("s3").head_object(Bucket=bucket, Key=artifact_key(SHA256))["LastModified"]
    artifacts.stored(SHA256).unlink()  # a second upload would now have nothing to read
    artifacts.ensure_uploaded(bucket, sha256=SHA256)
    assert boto3.client("s3").head_object(Bucket=bucket, Key=artifact_key(SHA256))["LastModified"] == before


@pytest.mark.parametrize("kept_no_checksum", [True, False])
def test_other_bytes_under_the_same_key_are_refused(
    bucket: str, tmp_path: Path, kept_no_checksum: bool
) -> None:
    keep(tmp_path)
    extra = {} if kept_no_checksum else {"ChecksumAlgorithm": "SHA256"}
    boto3.client("s3").put_object(Bucket=bucket, Key=artifact_key(SHA256), Body=b"tampered", **extra)  # type: ignore[arg-type]
    with pytest.raises(DeliveryError, match="does not hold what its name says"):
        artifacts.ensure_uploaded(bucket, sha256=SHA256)


def test_an_artifact_that_is_nowhere_is_refused(bucket: str) -> None:
    with pytest.raises(DeliveryError, match="neither in s3://"):
        artifacts.ensure_uploaded(bucket, sha256=SHA256)


def test_a_damaged_file_in_the_store_is_not_uploaded(bucket: str, tmp_path: Path) -> None:
    keep(tmp_path)
    artifacts.stored(SHA256).write_bytes(b"damaged")
    with pytest.raises(DeliveryError, match="neither in s3://"):
        artifacts.ensure_uploaded(bucket, sha256=SHA256)


def test_a_missing_bucket_is_named(bucket: str, tmp_path: Path) -> None:
    keep(tmp_path)
    with pytest.raises(DeliveryError, match="s3://no-such-bucket"):
        artifacts.ensure_uploaded("no-such-bucket", sha256=SHA256)
