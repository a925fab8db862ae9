"""How an update of a real-time endpoint moves traffic, and which alarms roll it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.config.rollout import AllAtOnce, Canary, Linear, update_timeout_s
from infra.constructs.monitoring.metrics import MICROSECONDS_PER_MS, Metrics
from infra.constructs.policies import allow

if TYPE_CHECKING:
    from infra.config import Settings

_Endpoint = sagemaker.CfnEndpoint


class RolloutWithAlarms(Construct):
    """A rollout with its alarms; `deployment_config` is for the endpoint.

    One 5XX answer in a minute is enough, the container's own 503 on overload included.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        rollout: AllAtOnce | Canary | Linear,
        latency_alarm_ms: int,
        role: iam.Role,
    ) -> None:
        super().__init__(scope, id_)
        metrics = Metrics(settings, period=cdk.Duration.minutes(1))
        latency_us = latency_alarm_ms * MICROSECONDS_PER_MS
        alarms = [
            self._alarm("ServerErrors", metric=metrics.server_errors(), above=0, minutes=1),
            self._alarm("ModelErrors", metric=metrics.model_faults(), above=0, minutes=1),
            self._alarm("Latency", metric=metrics.model_latency("p99"), above=latency_us, minutes=3),
        ]
        # docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html requires this.
        allow(role, "cloudwatch:DescribeAlarms", on=[alarm.alarm_arn for alarm in alarms])
        self.deployment_config = _Endpoint.DeploymentConfigProperty(
            auto_rollback_configuration=_Endpoint.AutoRollbackConfigProperty(
                alarms=[_Endpoint.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
            ),
            blue_green_update_policy=_Endpoint.BlueGreenUpdatePolicyProperty(
                maximum_execution_timeout_in_seconds=update_timeout_s(rollout),
                termination_wait_in_seconds=rollout.old_fleet_wait_seconds,
                traffic_routing_configuration=_traffic_routing(rollout),
            ),
        )

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


def _traffic_routing(rollout: AllAtOnce | Canary | Linear) -> _Endpoint.TrafficRoutingConfigProperty:
    routing = _Endpoint.TrafficRoutingConfigProperty
    match rollout:
        case AllAtOnce():
            # Required by SageMaker for each type: botocore's TrafficRoutingConfig.
            return routing(type="ALL_AT_ONCE", wait_interval_in_seconds=0)
        case Canary(percent=percent, bake_seconds=bake_s):
            return routing(type="CANARY", canary_size=_share(percent), wait_interval_in_seconds=bake_s)
        case Linear(step_percent=percent, bake_seconds=bake_s):
            return routing(type="LINEAR", linear_step_size=_share(percent), wait_interval_in_seconds=bake_s)


def _share(percent: int) -> _Endpoint.CapacitySizeProperty:
    return _Endpoint.CapacitySizeProperty(type="CAPACITY_PERCENT", value=percent)
