"""Why an update of an endpoint was taken back: which alarm, and what serves instead of what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra import names
from scripts.delivery.aws import reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import boto3

    from infra.config import Settings

_ALARM = "AWS::CloudWatch::Alarm"
_CONFIG = "AWS::SageMaker::EndpointConfig"


def taken_back(settings: Settings, *, since: datetime) -> str | None:
    """Return what is to be said of a deploy that an alarm ended; None of one that failed otherwise.

    CloudFormation's own reason is SageMaker's, which need not name the alarm.

    Parameters
    ----------
    since
        When the deploy began.
    """
    session = reader(settings).session
    stack = names.endpoint_stack(settings.environment)
    endpoint = names.endpoint(settings.environment, mode=settings.hosting.mode)
    alarms = [said for name in _alarms(session, stack) for said in _went_off(session, name, since)]
    if not alarms:
        return None
    serving = session.client("sagemaker").describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    tried = _tried(session, stack, serving, since)
    if tried is None:
        return None
    return (
        f"The update was taken back: {'; '.join(alarms)}. {serving} serves as before, {tried} does not. "
        f"The log group /aws/sagemaker/Endpoints/{endpoint} says what failed. Mend it, or put the record "
        f"back (`git revert`, or `scripts/rollback --env {settings.environment}`), and deploy again once the "
        "alarm is OK: until then it ends every update."
    )


def _tried(session: boto3.Session, stack: str, serving: str, since: datetime) -> str | None:
    """Return the name of an endpoint configuration that the stack made and that does not serve, if any."""
    for event in session.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]:
        made = event.get("PhysicalResourceId", "").rpartition("/")[2]  # an ARN, which is in lower case
        if event["Timestamp"] < since or event.get("ResourceType") != _CONFIG or not made:
            continue
        if made != serving.lower():
            return made
    return None


def _alarms(session: boto3.Session, stack: str) -> Iterator[str]:
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for each in page["StackResourceSummaries"]:
            if each["ResourceType"] == _ALARM and "PhysicalResourceId" in each:
                yield each["PhysicalResourceId"]


def _went_off(session: boto3.Session, alarm: str, since: datetime) -> Iterator[str]:
    """Yield one line if the alarm was in ALARM since then, even if it is not any more."""
    history = session.client("cloudwatch").describe_alarm_history(
        AlarmName=alarm, HistoryItemType="StateUpdate", StartDate=since
    )
    for item in history["AlarmHistoryItems"]:
        state = json.loads(item["HistoryData"])["newState"]
        if state["stateValue"] == "ALARM":
            yield f"alarm {alarm} went off ({state.get('stateReason', 'without a reason')})"
            return
