"""Alarms whose metrics are queries, as CloudFormation on a laptop takes them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.local.cloud import AT_ONCE

if TYPE_CHECKING:
    from tests.local.cloud import Cloud

COMMON = {
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
}


def stat(statistic: str = "Sum") -> dict[str, Any]:
    metric = {
        "Namespace": "Ours",
        "MetricName": "Errors",
        "Dimensions": [{"Name": "EndpointName", "Value": "champion"}],
    }
    return {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}


def cloudwatch(cloud: Cloud) -> Any:
    environment = cloud.aws.environment
    return boto3.client(
        "cloudwatch",
        endpoint_url=cloud.aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def create(cloud: Cloud, *queries: dict[str, Any]) -> dict[str, Any]:
    name = f"alarm-{uuid.uuid4().hex[:8]}"
    properties = COMMON | {"AlarmName": name, "Metrics": list(queries)}
    template = {"Resources": {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}}}
    cloud.stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloud.stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
    return described(cloud, name)


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    (alarm,) = cloudwatch(cloud).describe_alarms(AlarmNames=[name])["MetricAlarms"]
    found: dict[str, Any] = alarm
    return found


@pytest.mark.parametrize(("statistic", "key"), [("Sum", "Statistic"), ("p99", "ExtendedStatistic")])
def test_a_query_of_one_metric_is_that_metric(cloud: Cloud, statistic: str, key: str) -> None:
    alarm = create(cloud, stat(statistic))
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Period"]) == ("Ours", "Errors", 60)
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": "champion"}]
    assert alarm[key] == statistic


def test_it_fires(cloud: Cloud) -> None:
    alarm = create(cloud, stat())
    data = {"MetricName": "Errors", "Value": 6.0, "Dimensions": alarm["Dimensions"]}
    cloudwatch(cloud).put_metric_data(Namespace="Ours", MetricData=[data])
    assert described(cloud, alarm["AlarmName"])["StateValue"] == "ALARM"


def test_an_expression_is_kept_and_its_state_can_be_set(cloud: Cloud) -> None:
    expression = {"Id": "e1", "Expression": "m1 - 1", "Label": "Faults"}
    alarm = create(cloud, expression, stat() | {"ReturnData": False})
    assert alarm["Threshold"] == 5
    cloudwatch(cloud).set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="ALARM", StateReason="drill")
    assert described(cloud, alarm["AlarmName"])["StateValue"] == "ALARM"
