"""What the drift check makes of CloudFormation's answers."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.commands import drift


@pytest.mark.parametrize(
    ("kind", "reported"),
    [
        ("AWS::ApiGateway::ApiKey", []),
        ("AWS::S3::Bucket", ["AWS::S3::Bucket It (it) cannot be compared: not authorized"]),
    ],
)
def test_what_cannot_be_read_is_reported_unless_it_holds_an_api_key(kind: str, reported: list[str]) -> None:
    resource: Any = {
        "ResourceType": kind,
        "LogicalResourceId": "It",
        "PhysicalResourceId": "it",
        "StackResourceDriftStatus": "UNKNOWN",
        "DriftStatusReason": "not authorized",
    }
    assert list(drift._resource_differences(resource)) == reported
