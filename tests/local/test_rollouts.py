"""Guarded updates on a laptop: shares of the traffic, and the alarms that take an update back."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.local.cloud import wait_for
from tests.local.test_stacks import EndpointStack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.cloud import Cloud

A_MINUTE = 60  # seconds of SageMaker's, one of the laptop's


class Guard:
    """An alarm on one endpoint's metrics, and what a deployment configuration says of it."""

    def __init__(self, cloud: Cloud, endpoint: str, **metric: object) -> None:
        self.name = f"alarm-{uuid.uuid4().hex[:8]}"
        self.cloudwatch: Any = cloud.client("cloudwatch")
        asked = {"MetricName": "Invocation5XXErrors", "Statistic": "Sum", "Threshold": 0.0} | metric
        self.cloudwatch.put_metric_alarm(
            AlarmName=self.name,
            Namespace="AWS/SageMaker",
            Dimensions=dimensions(endpoint),
            ComparisonOperator="GreaterThanThreshold",
            Period=60,
            EvaluationPeriods=1,
            TreatMissingData="notBreaching",
            **asked,
        )

    def state(self) -> str:
        (alarm,) = self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        state: str = alarm["StateValue"]
        return state

    def watching(self, *, wait: int = 10 * A_MINUTE, **routing: object) -> dict[str, Any]:
        routing = routing or {"Type": "CANARY", "CanarySize": percent(25)}
        return {
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": self.name}]},
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"WaitIntervalInSeconds": wait, **routing},
                "TerminationWaitInSeconds": 0,
            },
        }


def percent(value: int) -> dict[str, object]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def dimensions(endpoint: str) -> list[dict[str, str]]:
    return [
        {"Name": "EndpointName", "Value": endpoint},
        {"Name": "VariantName", "Value": "champion"},
    ]


def status(cloud: Cloud, endpoint: str) -> str:
    return cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"]


def update(cloud: Cloud, endpoint: str, deployment: Any, **behaviour: object) -> str:
    config = cloud.config(artifact=cloud.artifact(**behaviour))
    cloud.sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=deployment
    )
    return config


def forget() -> None:
    """Wait until a failure is older than the alarm's minute, which would end the next update."""
    time.sleep(1.1)


@contextlib.contextmanager
def asking(cloud: Cloud, endpoint: str) -> Iterator[list[object]]:
    """Ask without a pause; yields what was answered, of a refusal its status."""
    answers: list[object] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(cloud.ask(endpoint)["answer"])
            except ClientError as error:
                answers.append(error.response["OriginalStatusCode"])  # type: ignore[typeddict-item]

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        yield answers
    finally:
        done.set()
        caller.join()


def test_a_canary_answers_its_share_and_then_all(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="old"))
    guard = Guard(cloud, endpoint)
    update(cloud, endpoint, guard.watching(wait=2 * A_MINUTE), answer="new")
    wait_for(
        lambda: cloud.ask(endpoint)["answer"] == "new"
    )  # the canary is up: the fourth request is its own

    asked = Counter(cloud.ask(endpoint)["answer"] for _ in range(40))
    assert status(cloud, endpoint) == "Updating"
    cloud.wait(endpoint)

    assert asked == {"old": 30, "new": 10}
    assert {cloud.ask(endpoint)["answer"] for _ in range(20)} == {"new"}
    assert guard.state() == "OK"


def test_linear_steps_move_the_traffic_little_by_little(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="old"))
    steps = Guard(cloud, endpoint).watching(wait=A_MINUTE, Type="LINEAR", LinearStepSize=percent(50))
    with asking(cloud, endpoint) as answers:
        began = time.monotonic()
        update(cloud, endpoint, steps, answer="new")
        cloud.wait(endpoint)
        took = time.monotonic() - began
    first = answers.index("new")
    last = len(answers) - answers[::-1].index("old")
    mixed = Counter(answers[first:last])
    assert took > 2  # both steps have baked
    assert mixed["old"] == pytest.approx(mixed["new"], abs=2)


@pytest.mark.parametrize(
    ("fails", "metric"),
    [
        ({"refuse": 500}, {}),
        (
            {"seconds": 0.2},
            {"MetricName": "ModelLatency", "Statistic": "Maximum", "Threshold": 150_000.0},
        ),
    ],
    ids=["errors", "slowness"],
)
def test_an_alarm_during_the_canary_brings_the_old_variant_back(
    cloud: Cloud, fails: dict[str, object], metric: dict[str, object]
) -> None:
    # Given an endpoint that is asked all the time, and an alarm that guards it
    config = cloud.config(answer="old")
    endpoint = cloud.endpoint(config)
    guard = Guard(cloud, endpoint, **metric)
    with asking(cloud, endpoint):
        # When a variant is rolled out that fails, or is slow
        began = time.monotonic()
        failed = update(cloud, endpoint, guard.watching(), answer="new", **fails)
        cloud.wait(endpoint)
    # Then the alarm ends it long before it has baked, and the old one serves
    assert time.monotonic() - began < 9
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == config
    assert guard.name in described["FailureReason"]
    assert failed in described["FailureReason"]
    assert {cloud.ask(endpoint)["answer"] for _ in range(20)} == {"old"}
    # And what went off before does not end the next one, a minute later
    forget()
    update(cloud, endpoint, guard.watching(wait=A_MINUTE), answer="mended")
    time.sleep(1.1)
    cloud.wait(endpoint)


def test_what_callers_do_wrong_fires_no_alarm(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="old"))
    guard = Guard(cloud, endpoint)
    with asking(cloud, endpoint) as answers:
        config = update(cloud, endpoint, guard.watching(wait=A_MINUTE), refuse=422)
        cloud.wait(endpoint)
    assert 422 in answers
    assert cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == config


def test_an_alarm_that_somebody_sets_ends_an_update(cloud: Cloud) -> None:
    config = cloud.config(answer="old")
    endpoint = cloud.endpoint(config)
    guard = Guard(cloud, endpoint)
    update(cloud, endpoint, guard.watching(), answer="new")
    wait_for(lambda: cloud.ask(endpoint)["answer"] == "new")
    guard.cloudwatch.set_alarm_state(AlarmName=guard.name, StateValue="ALARM", StateReason="a drill")
    cloud.wait(endpoint)
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == config
    assert "a drill" in described["FailureReason"]


@pytest.mark.parametrize("retained", [True, False])
def test_an_update_from_outside_is_guarded_where_it_retains_the_guardrails(
    cloud: Cloud, retained: bool
) -> None:
    # Given an endpoint that was last updated under guardrails, and is asked all the time
    endpoint = cloud.endpoint(cloud.config(answer="first"))
    guard = Guard(cloud, endpoint)
    config = update(cloud, endpoint, guard.watching(wait=A_MINUTE), answer="old")
    cloud.wait(endpoint)
    failing = cloud.config(refuse=500)
    with asking(cloud, endpoint) as answers:
        # When somebody updates it to a variant that fails, and names no guardrails
        cloud.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName=failing, RetainDeploymentConfig=retained
        )
        wait_for(lambda: 500 in answers)
        cloud.wait(endpoint)
    # Then those of the last update take it back; without them it stays
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == (config if retained else failing)
    assert (guard.name in described.get("FailureReason", "")) is retained
    assert ("LastDeploymentConfig" in described) is retained


class GuardedStack(EndpointStack):
    """A stack whose endpoint is guarded by what `infra.constructs.rollout` declares, metric math included."""

    def template(self, *, artifact: str, **variant: object) -> str:
        template = json.loads(super().template(artifact=artifact, **variant))

        def stat(id_: str, name: str) -> dict[str, Any]:
            metric = {
                "Namespace": "AWS/SageMaker",
                "MetricName": name,
                "Dimensions": dimensions(self.endpoint),
            }
            return {
                "Id": id_,
                "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"},
                "ReturnData": False,
            }

        faults = {"Id": "faults", "Expression": "FILL(failed, 0) - FILL(callers, 0)", "Label": "Faults"}
        template["Resources"]["Alarm"] = {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "ComparisonOperator": "GreaterThanThreshold",
                "Threshold": 0,
                "EvaluationPeriods": 1,
                "TreatMissingData": "notBreaching",
                "Metrics": [
                    faults,
                    stat("failed", "InvocationModelErrors"),
                    stat("callers", "Invocation4XXErrors"),
                ],
            },
        }
        template["Resources"]["Endpoint"]["Properties"]["DeploymentConfig"] = {
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": {"Ref": "Alarm"}}]},
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {
                    "Type": "CANARY",
                    "CanarySize": percent(50),
                    "WaitIntervalInSeconds": 2 * A_MINUTE,
                }
            },
        }
        return json.dumps(template)


def test_a_stack_whose_canary_fails_rolls_back_and_says_which_alarm(cloud: Cloud) -> None:
    stack = GuardedStack(cloud)
    stack.create(answer="first")
    try:
        with asking(cloud, stack.endpoint), pytest.raises(WaiterError):
            stack.update(refuse=500)
        assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert f"alarm {stack.name}-Alarm" in stack.reasons()
        assert cloud.ask(stack.endpoint)["answer"] == "first"

        forget()
        with asking(cloud, stack.endpoint) as answers:
            stack.update(answer="mended")
        assert set(answers) == {"first", "mended"}
        assert cloud.ask(stack.endpoint)["answer"] == "mended"
    finally:
        stack.delete()
