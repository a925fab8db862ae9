"""With a smoke role named, the commands ask AWS as that role, and the CDK CLI stays who it was."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from infra import config
from infra.local import ACCOUNT as LAPTOP
from scripts.delivery import aws

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "arn:aws:iam::123456789012:role/smoke"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_SESSION_TOKEN",
        aws.SMOKE_ROLE,
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "caller")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock_aws():
        statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        boto3.client("iam").create_role(RoleName="smoke", AssumeRolePolicyDocument=policy)
        yield


def who() -> str:
    arn: str = aws.session().client("sts").get_caller_identity()["Arn"]
    return arn


def test_without_a_role_the_caller_asks() -> None:
    assert "assumed-role" not in who()


def test_with_a_role_the_role_asks_and_the_processes_own_keys_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(aws.SMOKE_ROLE, ROLE)
    before = dict(os.environ)  # what the CDK CLI starts with
    assert who() == "arn:aws:sts::123456789012:assumed-role/smoke/tumor-detector"
    assert dict(os.environ) == before


def test_the_role_is_taken_anew_before_its_hour_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(aws.SMOKE_ROLE, ROLE)
    first, second = (aws.session().get_credentials() for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.access_key != second.access_key


def test_a_real_accounts_temporary_keys_are_not_sent_to_the_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "of-a-real-account")
    monkeypatch.setattr(boto3, "client", lambda _service: FakeIdentity())
    aws.reach(config.load("local"))
    assert "of-a-real-account" not in os.environ.values()


def test_a_workflows_keys_of_a_role_of_the_laptop_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-role")
    monkeypatch.setenv(aws.SMOKE_ROLE, ROLE)
    monkeypatch.setattr(boto3, "client", lambda _service: FakeIdentity())
    aws.reach(config.load("local"))
    assert os.environ["AWS_SESSION_TOKEN"] == "of-the-role"


class FakeIdentity:
    """Stands in for STS, which says whose the keys are."""

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": LAPTOP}
