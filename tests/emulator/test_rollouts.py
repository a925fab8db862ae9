"""Guarded updates in local AWS: shares of the traffic, and the alarms that roll an update back."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from infra.emulator.sagemaker.endpoints import Rollout
from tests.emulator.cloud import wait_for
from tests.emulator.deployment import CONDITION, EndpointStack, dimensions, resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.cloud import Cloud

A_MINUTE = 60  # SageMaker's seconds; one real second


class RolloutCase:
    """An alarm on one endpoint's metrics, and the deployment configuration that watches it."""

    def __init__(self, cloud: Cloud, endpoint: str, **metric: object) -> None:
        self.name = f"alarm-{uuid.uuid4().hex[:8]}"
        self.cloudwatch: Any = cloud.client("cloudwatch")
        watched = {"MetricName": "Invocation5XXErrors", "Statistic": "Sum", "Threshold": 0.0} | metric
        self.cloudwatch.put_metric_alarm(
            AlarmName=self.name,
            Namespace="AWS/SageMaker",
            Dimensions=dimensions(endpoint),
            Period=60,
            **CONDITION,
            **watched,
        )

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


def update(cloud: Cloud, endpoint: str, deployment: Any, **behaviour: object) -> str:
    config = cloud.config(artifact=cloud.artifact(**behaviour))
    cloud.sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=deployment
    )
    return config


@contextlib.contextmanager
def calling(cloud: Cloud, endpoint: str) -> Iterator[list[object]]:
    """Invoke without a pause; yields the answers, the status in place of each refused one."""
    answers: list[object] = []
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            try:
                answers.append(cloud.invoke(endpoint)["answer"])
            except ClientError as error:
                answers.append(error.response["OriginalStatusCode"])  # type: ignore[typeddict-item]

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield answers
    finally:
        done.set()
        for caller in callers:
            caller.join()


@pytest.mark.parametrize(
    ("routing", "stages"),
    [
        ({"Type": "CANARY", "CanarySize": percent(25)}, [(0.25, 10), (1, 2)]),
        ({"Type": "LINEAR", "LinearStepSize": percent(50)}, [(0.5, 10), (1, 12)]),
        ({"Type": "ALL_AT_ONCE"}, [(1, 2)]),
    ],
)
def test_stages_have_their_share_and_time(
    routing: dict[str, object], stages: list[tuple[float, float]]
) -> None:
    policy = {
        "TrafficRoutingConfiguration": {"WaitIntervalInSeconds": 10 * A_MINUTE, **routing},
        "TerminationWaitInSeconds": 2 * A_MINUTE,
    }
    rollout = Rollout.read({"BlueGreenUpdatePolicy": policy})
    assert [(stage.share, stage.seconds) for stage in rollout.stages] == stages


def test_an_alarm_during_the_canary_brings_the_old_variant_back(cloud: Cloud) -> None:
    # Given an endpoint under constant load, and an alarm that guards it
    config = cloud.config(answer="old")
    endpoint = cloud.endpoint(config)
    slowness = {"MetricName": "ModelLatency", "Statistic": "Maximum", "Threshold": 150_000.0}
    guard = RolloutCase(cloud, endpoint, **slowness)
    with calling(cloud, endpoint):
        # When a variant is rolled out that is slow
        failed = update(cloud, endpoint, guard.watching(), answer="new", seconds=0.2)
        cloud.wait(endpoint)
    # Then the alarm ends it before it has baked, and the old one serves
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == config
    assert guard.name in described["FailureReason"]
    assert failed in described["FailureReason"]
    assert {cloud.invoke(endpoint)["answer"] for _ in range(20)} == {"old"}


def test_errors_of_callers_fire_no_alarm(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="old"))
    guard = RolloutCase(cloud, endpoint)
    with calling(cloud, endpoint) as answers:
        config = update(cloud, endpoint, guard.watching(wait=A_MINUTE), refuse=422)
        cloud.wait(endpoint)
    assert 422 in answers
    assert cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == config


def test_a_canary_gets_its_share_until_an_alarm_is_set_by_hand(cloud: Cloud) -> None:
    config = cloud.config(answer="old")
    endpoint = cloud.endpoint(config)
    guard = RolloutCase(cloud, endpoint)
    update(cloud, endpoint, guard.watching(), answer="new")
    wait_for(lambda: cloud.invoke(endpoint)["answer"] == "new")
    assert Counter(cloud.invoke(endpoint)["answer"] for _ in range(40)) == {"old": 30, "new": 10}
    guard.cloudwatch.set_alarm_state(AlarmName=guard.name, StateValue="ALARM", StateReason="a drill")
    cloud.wait(endpoint)
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == config
    assert "a drill" in described["FailureReason"]


@pytest.mark.parametrize("retained", [True, False])
def test_an_update_from_outside_is_guarded_where_it_retains_the_guardrails(
    cloud: Cloud, retained: bool
) -> None:
    # Given an endpoint under constant load that was last updated with guardrails
    endpoint = cloud.endpoint(cloud.config(answer="first"))
    guard = RolloutCase(cloud, endpoint)
    config = update(cloud, endpoint, guard.watching(wait=A_MINUTE), answer="old")
    cloud.wait(endpoint)
    failing = cloud.config(refuse=500)
    with calling(cloud, endpoint) as answers:
        # When it is updated to a variant that fails, without guardrails of its own
        cloud.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName=failing, RetainDeploymentConfig=retained
        )
        wait_for(lambda: 500 in answers)
        cloud.wait(endpoint)
    # Then those of the last update roll it back; without them it stays
    described = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == (config if retained else failing)
    assert (guard.name in described.get("FailureReason", "")) is retained
    assert ("LastDeploymentConfig" in described) is retained


class RolloutStack(EndpointStack):
    """Endpoint guarded as `infra.constructs.endpoint.rollout` declares, metric math included."""

    def template(self, **model: Any) -> dict[str, Any]:
        template = super().template(**model)

        def query(id_: str, name: str) -> dict[str, Any]:
            metric = {
                "Namespace": "AWS/SageMaker",
                "MetricName": name,
                "Dimensions": dimensions(self.endpoint),
            }
            stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}
            return {"Id": id_, "MetricStat": stat, "ReturnData": False}

        faults = {"Id": "faults", "Expression": "FILL(failed, 0) - FILL(callers, 0)", "Label": "Faults"}
        failed, callers = query("failed", "InvocationModelErrors"), query("callers", "Invocation4XXErrors")
        template["Resources"]["Alarm"] = resource(
            "CloudWatch::Alarm", **CONDITION, Threshold=0, Metrics=[faults, failed, callers]
        )
        canary = {"Type": "CANARY", "CanarySize": percent(50), "WaitIntervalInSeconds": 2 * A_MINUTE}
        template["Resources"]["Endpoint"]["Properties"]["DeploymentConfig"] = {
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": {"Ref": "Alarm"}}]},
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": canary},
        }
        return template


def test_a_stack_whose_canary_fails_rolls_back_and_names_the_alarm(cloud: Cloud) -> None:
    stack = RolloutStack(cloud)
    stack.create(answer="first")
    try:
        with calling(cloud, stack.endpoint), pytest.raises(WaiterError):
            stack.update(refuse=500)
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        assert f"alarm {stack.name}-Alarm" in stack.reasons()
        assert stack.answer == "first"

        time.sleep(1.1)  # an older failure than the alarm's period does not end the next update
        with calling(cloud, stack.endpoint) as answers:
            stack.update(answer="fixed")
        assert set(answers) == {"first", "fixed"}
        assert stack.answer == "fixed"
    finally:
        stack.delete()
