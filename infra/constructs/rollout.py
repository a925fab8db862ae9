"""How an update of a real-time endpoint takes over the traffic, and what takes it back."""

from __future__ import annotations

from typing import assert_never

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.constructs.endpoint_metrics import MICROSECONDS_PER_MS, EndpointMetrics
from infra.settings.rollout import AllAtOnce, Canary, Linear, update_timeout_s

_Endpoint = sagemaker.CfnEndpoint


class GuardedRollout(Construct):
    """A rollout, and the alarms that take it back.

    Attributes
    ----------
    deployment_config
        For the endpoint.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        rollout: AllAtOnce | Canary | Linear,
        latency_alarm_ms: int,
        endpoint_name: str,
        role: iam.Role,
    ) -> None:
        super().__init__(scope, id_)
        metrics = EndpointMetrics(endpoint_name, period=cdk.Duration.minutes(1))
        latency_us = latency_alarm_ms * MICROSECONDS_PER_MS
        alarms = [
            self._alarm("ServerErrors", metric=metrics.server_errors(), above=0, minutes=1),
            self._alarm("ModelErrors", metric=metrics.model_faults(), above=0, minutes=1),
            self._alarm("Latency", metric=metrics.model_latency("p99"), above=latency_us, minutes=3),
        ]
        # docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html asks for this.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:DescribeAlarms"], resources=[alarm.alarm_arn for alarm in alarms]
            )
        )
        self.deployment_config = _deployment_config(rollout, alarms)

    def _alarm(self, id_: str, *, metric: cloudwatch.IMetric, above: float, minutes: int) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id_,
            metric=metric,
            threshold=above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=minutes,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _deployment_config(
    rollout: AllAtOnce | Canary | Linear, alarms: list[cloudwatch.Alarm]
) -> _Endpoint.DeploymentConfigProperty:
    return _Endpoint.DeploymentConfigProperty(
        auto_rollback_configuration=_Endpoint.AutoRollbackConfigProperty(
            alarms=[_Endpoint.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
        ),
        blue_green_update_policy=_Endpoint.BlueGreenUpdatePolicyProperty(
            maximum_execution_timeout_in_seconds=update_timeout_s(rollout),
            termination_wait_in_seconds=rollout.old_fleet_wait_seconds,
            traffic_routing_configuration=_traffic_routing(rollout),
        ),
    )


def _traffic_routing(rollout: AllAtOnce | Canary | Linear) -> _Endpoint.TrafficRoutingConfigProperty:
    match rollout:
        case AllAtOnce():
            return _Endpoint.TrafficRoutingConfigProperty(type="ALL_AT_ONCE")
        case Canary():
            return _Endpoint.TrafficRoutingConfigProperty(
                type="CANARY",
                canary_size=_share(rollout.percent),
                wait_interval_in_seconds=rollout.bake_seconds,
            )
        case Linear():
            return _Endpoint.TrafficRoutingConfigProperty(
                type="LINEAR",
                linear_step_size=_share(rollout.step_percent),
                wait_interval_in_seconds=rollout.bake_seconds,
            )
        case _:
            assert_never(rollout)


def _share(percent: int) -> _Endpoint.CapacitySizeProperty:
    return _Endpoint.CapacitySizeProperty(type="CAPACITY_PERCENT", value=percent)
