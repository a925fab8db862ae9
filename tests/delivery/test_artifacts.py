"""Artifacts in the store and in the bucket."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from infra.release import artifact_key
from scripts.console import DeliveryError
from scripts.delivery import artifacts
from tests.delivery.conftest import set_account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "models"
CONTENT = b"an artifact"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty bucket of a mocked AWS, and an empty store on this machine."""
    set_account(monkeypatch, region="us-east-1")
    monkeypatch.setattr(artifacts, "STORE", tmp_path / "store")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield BUCKET


def keep(tmp_path: Path) -> None:
    source = tmp_path / "model.tar.gz"
    source.write_bytes(CONTENT)
    artifacts.keep(source, sha256=SHA256)


def test_a_missing_artifact_is_uploaded_from_the_store_once(bucket: str, tmp_path: Path) -> None:
    keep(tmp_path)
    artifacts.ensure_uploaded(bucket, sha256=SHA256)
    uploaded = boto3.client("s3").get_object(Bucket=bucket, Key=artifact_key(SHA256))
    assert uploaded["Body"].read() == CONTENT
    artifacts.stored(SHA256).unlink()  # a second upload would now have nothing to read
    artifacts.ensure_uploaded(bucket, sha256=SHA256)


@pytest.mark.parametrize("without_checksum", [True, False])
def test_other_bytes_under_the_same_key_are_refused(
    bucket: str, tmp_path: Path, without_checksum: bool
) -> None:
    keep(tmp_path)
    extra = {} if without_checksum else {"ChecksumAlgorithm": "SHA256"}
    boto3.client("s3").put_object(Bucket=bucket, Key=artifact_key(SHA256), Body=b"tampered", **extra)  # type: ignore[arg-type]
    with pytest.raises(DeliveryError, match="does not match its name"):
        artifacts.ensure_uploaded(bucket, sha256=SHA256)


@pytest.mark.parametrize("damaged", [True, False])
def test_an_artifact_without_an_intact_copy_is_refused(bucket: str, tmp_path: Path, damaged: bool) -> None:
    if damaged:
        keep(tmp_path)
        artifacts.stored(SHA256).write_bytes(b"damaged")
    with pytest.raises(DeliveryError, match="neither in s3://"):
        artifacts.ensure_uploaded(bucket, sha256=SHA256)


def test_a_missing_bucket_is_named(bucket: str, tmp_path: Path) -> None:
    keep(tmp_path)
    with pytest.raises(DeliveryError, match="s3://no-such-bucket"):
        artifacts.ensure_uploaded("no-such-bucket", sha256=SHA256)
