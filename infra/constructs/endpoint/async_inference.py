"""Asynchronous inference: where images and answers lie, who is told, and instances by the backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra import names
from infra.constructs.policies import allow, arn
from infra.lambdas.gateway.predictions import ANSWERS, FAILURES, IMAGES
from infra.names import VARIANT_NAME

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms

    from infra.config import Settings
    from infra.config.hosting import Async

_Config = sagemaker.CfnEndpointConfig
_Policy = autoscaling.CfnScalingPolicy
_NAMESPACE = "AWS/SageMaker"  # docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html
WAKE_COOLDOWN_S = 300  # an instance needs minutes to start; meanwhile the alarm stays on


class AsyncInference(Construct):
    """The topics of answers and of failures, and `config`, for the endpoint's configuration.

    Those to whom alarms are mailed get failures too. `role` is the model's: it reads images, and writes and
    announces answers. **Unverified on AWS:** that it needs neither to list the bucket nor to abort uploads,
    which AWS's example policy allows it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        hosting: Async,
        role: iam.Role,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id_)
        place = {"account": cdk.Stack.of(self).account, "region": settings.region}
        bucket = names.async_bucket(settings.environment, **place)

        def objects(prefix: str) -> str:
            return arn(self, "s3", bucket, f"{prefix}/*", region="", account="")

        answered, failed = (
            sns.Topic(self, name, enforce_ssl=True, master_key=key) for name in ("Answered", "Failed")
        )
        for email in settings.monitoring.emails if settings.monitoring else ():
            failed.add_subscription(subscriptions.EmailSubscription(email))
        allow(role, "s3:GetObject", on=objects(IMAGES), wildcard="An image's key has the id of its request.")
        for prefix in (ANSWERS, FAILURES):
            allow(role, "s3:PutObject", on=objects(prefix), wildcard="SageMaker names each answer.")
        allow(role, "sns:Publish", on=[answered.topic_arn, failed.topic_arn])
        if key:
            allow(role, "kms:GenerateDataKey", on=key.key_arn)
        self.config = _Config.AsyncInferenceConfigProperty(
            client_config=_Config.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=hosting.concurrent_requests_per_instance
            ),
            output_config=_Config.AsyncInferenceOutputConfigProperty(
                s3_output_path=f"s3://{bucket}/{ANSWERS}",
                s3_failure_path=f"s3://{bucket}/{FAILURES}",
                kms_key_id=key.key_arn if key else None,
                notification_config=_Config.AsyncInferenceNotificationConfigProperty(
                    success_topic=answered.topic_arn, error_topic=failed.topic_arn
                ),
            ),
        )


class BacklogScaling(Construct):
    """As many instances as the backlog needs, and none without one.

    Target tracking cannot leave zero, where no instance has a backlog of its own: an alarm adds the first.
    docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
    """

    def __init__(
        self, scope: Construct, id_: str, *, hosting: Async, endpoint: sagemaker.CfnEndpoint
    ) -> None:
        super().__init__(scope, id_)
        target = autoscaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            resource_id=f"endpoint/{endpoint.attr_endpoint_name}/variant/{VARIANT_NAME}",
            min_capacity=0,
            max_capacity=hosting.max_instances,
        )
        _Policy(
            self,
            "Policy",
            policy_name="backlog",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.attr_id,
            target_tracking_scaling_policy_configuration=_Policy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=hosting.concurrent_requests_per_instance,
                customized_metric_specification=_Policy.CustomizedMetricSpecificationProperty(
                    metric_name="ApproximateBacklogSizePerInstance",
                    namespace=_NAMESPACE,
                    statistic="Average",
                    dimensions=[
                        _Policy.MetricDimensionProperty(
                            name="EndpointName", value=endpoint.attr_endpoint_name
                        )
                    ],
                ),
                scale_in_cooldown=hosting.scale_in_cooldown_seconds,
            ),
        )
        wake = _Policy(
            self,
            "Wake",
            policy_name="wake",
            policy_type="StepScaling",
            scaling_target_id=target.attr_id,
            step_scaling_policy_configuration=_Policy.StepScalingPolicyConfigurationProperty(
                adjustment_type="ChangeInCapacity",
                metric_aggregation_type="Average",
                cooldown=WAKE_COOLDOWN_S,
                step_adjustments=[
                    _Policy.StepAdjustmentProperty(metric_interval_lower_bound=0, scaling_adjustment=1)
                ],
            ),
        )
        cloudwatch.CfnAlarm(
            self,
            "Waiting",
            alarm_description="Images wait and no instance runs",
            namespace=_NAMESPACE,
            metric_name="HasBacklogWithoutCapacity",
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name="EndpointName", value=endpoint.attr_endpoint_name)
            ],
            statistic="Average",
            period=60,
            evaluation_periods=2,
            datapoints_to_alarm=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[wake.ref],
        )
