"""A mocked account."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    import pytest


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
