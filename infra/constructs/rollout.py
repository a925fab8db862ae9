"""How an update of a real-time endpoint takes over the traffic, and what takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.names import VARIANT_NAME

if TYPE_CHECKING:
    from infra.config import Canary

# SageMaker gives up on an update after this long: one bake, the old fleet's wait and its start leave room.
UPDATE_TIMEOUT_S = 7200
OLD_FLEET_WAIT_S = 300
MICROSECONDS_PER_MS = 1000  # ModelLatency is in microseconds


class CanaryRollout(Construct):
    """A canary, and the alarms that take it back.

    Attributes
    ----------
    deployment_config
        For the endpoint.
    """

    def __init__(
        self, scope: Construct, id_: str, *, canary: Canary, endpoint_name: str, role: iam.Role
    ) -> None:
        super().__init__(scope, id_)
        self._dimensions = {"EndpointName": endpoint_name, "VariantName": VARIANT_NAME}
        alarms = [
            self._alarm_on_server_errors(),
            self._alarm_on_model_errors(),
            self._alarm_on_latency(canary.latency_alarm_ms),
        ]
        # docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html asks for this.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:DescribeAlarms"], resources=[alarm.alarm_arn for alarm in alarms]
            )
        )
        self.deployment_config = _deployment_config(canary, alarms)

    def _alarm_on_server_errors(self) -> cloudwatch.Alarm:
        return self._alarm(
            "ServerErrors", metric=self._metric("Invocation5XXErrors", statistic="Sum"), above=0, minutes=1
        )

    def _alarm_on_model_errors(self) -> cloudwatch.Alarm:
        # Every answer but 2XX counts as a model error, a caller's broken image too: those are taken out.
        faults = cloudwatch.MathExpression(
            expression="FILL(failed, 0) - FILL(callers, 0)",
            label="Model errors that are not the caller's",
            period=cdk.Duration.minutes(1),
            using_metrics={
                "failed": self._metric("InvocationModelErrors", statistic="Sum"),
                "callers": self._metric("Invocation4XXErrors", statistic="Sum"),
            },
        )
        return self._alarm("ModelErrors", metric=faults, above=0, minutes=1)

    def _alarm_on_latency(self, milliseconds: int) -> cloudwatch.Alarm:
        return self._alarm(
            "Latency",
            metric=self._metric("ModelLatency", statistic="p99"),
            above=milliseconds * MICROSECONDS_PER_MS,
            minutes=3,
        )

    def _metric(self, name: str, *, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map=self._dimensions,
            statistic=statistic,
            period=cdk.Duration.minutes(1),
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


def _deployment_config(
    canary: Canary, alarms: list[cloudwatch.Alarm]
) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
    endpoint = sagemaker.CfnEndpoint
    return endpoint.DeploymentConfigProperty(
        auto_rollback_configuration=endpoint.AutoRollbackConfigProperty(
            alarms=[endpoint.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
        ),
        blue_green_update_policy=endpoint.BlueGreenUpdatePolicyProperty(
            maximum_execution_timeout_in_seconds=UPDATE_TIMEOUT_S,
            termination_wait_in_seconds=OLD_FLEET_WAIT_S,
            traffic_routing_configuration=endpoint.TrafficRoutingConfigProperty(
                type="CANARY",
                canary_size=endpoint.CapacitySizeProperty(type="CAPACITY_PERCENT", value=canary.percent),
                wait_interval_in_seconds=canary.bake_seconds,
            ),
        ),
    )
