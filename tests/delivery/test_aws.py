"""Connections to AWS: the smoke role, local AWS, and the shell's own settings."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.credentials import RefreshableCredentials
from moto import mock_aws

from infra import config
from infra.local_aws import ACCOUNT as LOCAL_ACCOUNT
from scripts.console import DeliveryError
from scripts.delivery import aws
from tests.delivery.conftest import make_role, set_account

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "arn:aws:iam::123456789012:role/smoke"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    set_account(monkeypatch)
    monkeypatch.delenv(aws.SMOKE_ROLE, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock_aws():
        make_role("smoke", trusted={"AWS": "*"})
        before = dict(os.environ)
        yield
        os.environ.clear()
        os.environ.update(before)


def test_the_smoke_role_is_assumed_and_the_process_keeps_its_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def caller() -> str:
        return str(aws.session().client("sts").get_caller_identity()["Arn"])

    assert "assumed-role" not in caller()
    monkeypatch.setenv(aws.SMOKE_ROLE, ROLE)
    before = dict(os.environ)  # which the CDK CLI starts with
    assert caller() == "arn:aws:sts::123456789012:assumed-role/smoke/tumor-detector"
    assert dict(os.environ) == before
    # And they are renewed before they expire: with this limit, each time
    monkeypatch.setattr(RefreshableCredentials, "_advisory_refresh_timeout", 7200)
    credentials = aws.session().get_credentials()
    assert credentials
    assert len({credentials.get_frozen_credentials().access_key for _ in range(2)}) == 2


@pytest.fixture
def local_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    sts = SimpleNamespace(get_caller_identity=lambda: {"Account": LOCAL_ACCOUNT})
    monkeypatch.setattr(boto3, "client", lambda _service: sts)


def test_a_workflows_credentials_of_a_local_role_are_kept(
    local_identity: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-role")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    keys = {name: os.environ[name] for name in names}
    monkeypatch.setenv(aws.SMOKE_ROLE, ROLE)
    aws.connect(config.load("local"))
    assert keys.items() <= os.environ.items()


def test_the_credentials_of_local_aws_are_refused_for_an_environment_on_aws(local_identity: None) -> None:
    with pytest.raises(DeliveryError, match="those of local AWS"):
        aws.connect(config.load("dev"))
