"""How many instances a real-time endpoint has, by load and by schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_applicationautoscaling as autoscaling
from constructs import Construct

from infra.names import VARIANT_NAME

if TYPE_CHECKING:
    from aws_cdk import aws_sagemaker as sagemaker

    from infra.config.hosting import OffHours, Scaling

_Target = autoscaling.CfnScalableTarget
_Policy = autoscaling.CfnScalingPolicy


class InstanceScaling(Construct):
    """Keeps the number of concurrent requests on each instance near a target.

    Concurrency shows earlier than a count of requests that an instance is full, whatever an image costs.
    Application Auto Scaling acts under its service-linked role, which it creates by itself.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        scaling: Scaling,
        instance_count: int,
        endpoint: sagemaker.CfnEndpoint,
    ) -> None:
        super().__init__(scope, id_)
        target = _Target(
            self,
            "Target",
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            # By reference: the endpoint must exist first.
            resource_id=f"endpoint/{endpoint.attr_endpoint_name}/variant/{VARIANT_NAME}",
            min_capacity=instance_count,
            max_capacity=scaling.max_instances,
            scheduled_actions=(
                _schedule(scaling.off_hours, full=instance_count, most=scaling.max_instances)
                if scaling.off_hours
                else None
            ),
        )
        _Policy(
            self,
            "Policy",
            policy_name="concurrency",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.attr_id,
            target_tracking_scaling_policy_configuration=_Policy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=scaling.concurrent_requests_per_instance,
                predefined_metric_specification=_Policy.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="SageMakerVariantConcurrentRequestsPerModelHighResolution"
                ),
                scale_out_cooldown=scaling.scale_out_cooldown_seconds,
                scale_in_cooldown=scaling.scale_in_cooldown_seconds,
            ),
        )


def _schedule(hours: OffHours, *, full: int, most: int) -> list[_Target.ScheduledActionProperty]:
    def action(name: str, clock: str, *, least: int) -> _Target.ScheduledActionProperty:
        hour, minute = clock.split(":")
        return _Target.ScheduledActionProperty(
            scheduled_action_name=name,
            schedule=f"cron({int(minute)} {int(hour)} ? * {','.join(hours.working_days)} *)",
            timezone=hours.timezone,
            scalable_target_action=_Target.ScalableTargetActionProperty(
                min_capacity=least, max_capacity=most
            ),
        )

    return [
        action("off-hours", hours.begin, least=hours.instances),
        action("working-hours", hours.end, least=full),
    ]
