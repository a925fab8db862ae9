"""What the drift check makes of CloudFormation's answers."""

from __future__ import annotations

from typing import Any

from scripts.commands import drift


def test_an_api_key_that_cannot_be_read_is_not_reported() -> None:
    resource: Any = {
        "ResourceType": "AWS::ApiGateway::ApiKey",
        "LogicalResourceId": "It",
        "PhysicalResourceId": "it",
        "StackResourceDriftStatus": "UNKNOWN",
        "DriftStatusReason": "not authorized",
    }
    assert list(drift._resource_differences(resource)) == []
