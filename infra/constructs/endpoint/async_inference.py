"""Asynchronous inference: where images and answers lie, who is told, and instances by the backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra import names
from infra.constructs.policies import allow, bucket_name, in_bucket
from infra.lambdas.gateway.predictions import ANSWERS, FAILURES, IMAGES

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms

    from infra.config import Settings
    from infra.config.hosting import Async

_Config = sagemaker.CfnEndpointConfig
COOLDOWN = cdk.Duration.minutes(5)  # an instance needs minutes to start, and is idle as long before it goes


class AsyncInference(Construct):
    """The topics of answers and of failures, and `config`, for the endpoint's configuration.

    Those to whom alarms are mailed get failures too. `role` is the model's: it reads images, and writes and
    announces answers. **Unverified on AWS:** that it needs neither to list the bucket nor to abort uploads,
    which AWS's example policy allows it.
    """

    def __init__(
        self, scope: Construct, *, settings: Settings, hosting: Async, role: iam.Role, key: kms.IKey | None
    ) -> None:
        super().__init__(scope, "Async")
        bucket = bucket_name(self, settings, "async")
        answered, failed = (
            sns.Topic(self, name, enforce_ssl=True, master_key=key) for name in ("Answered", "Failed")
        )
        for email in settings.monitoring.emails if settings.monitoring else ():
            failed.add_subscription(subscriptions.EmailSubscription(email))
        for action, prefix in (("Get", IMAGES), ("Put", ANSWERS), ("Put", FAILURES)):
            objects = in_bucket(self, bucket, f"{prefix}/*")
            allow(role, f"s3:{action}Object", on=objects, wildcard="Each request has an object of its own.")
        allow(role, "sns:Publish", on=[answered.topic_arn, failed.topic_arn])
        if key:
            allow(role, "kms:GenerateDataKey", on=key.key_arn)
        concurrent = hosting.concurrent_requests_per_instance
        told = _Config.AsyncInferenceNotificationConfigProperty(
            success_topic=answered.topic_arn, error_topic=failed.topic_arn
        )
        self.config = _Config.AsyncInferenceConfigProperty(
            client_config=_Config.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=concurrent
            ),
            output_config=_Config.AsyncInferenceOutputConfigProperty(
                s3_output_path=f"s3://{bucket}/{ANSWERS}",
                s3_failure_path=f"s3://{bucket}/{FAILURES}",
                kms_key_id=key.key_arn if key else None,
                notification_config=told,
            ),
        )


def scale_by_backlog(scope: Construct, hosting: Async, endpoint: sagemaker.CfnEndpoint) -> None:
    """Run as many instances as the backlog needs, and none without one.

    Target tracking cannot leave zero, where no instance has a backlog of its own: an alarm adds the first.
    docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
    """
    target = autoscaling.ScalableTarget(
        scope,
        "Scaling",
        service_namespace=autoscaling.ServiceNamespace.SAGEMAKER,
        scalable_dimension="sagemaker:variant:DesiredInstanceCount",
        resource_id=f"endpoint/{endpoint.attr_endpoint_name}/variant/{names.VARIANT_NAME}",
        min_capacity=0,
        max_capacity=hosting.max_instances,
    )
    target.node.try_remove_child("Role")  # in its place the service-linked role acts, as it always does
    cast("autoscaling.CfnScalableTarget", target.node.default_child).role_arn = None

    def metric(name: str) -> cloudwatch.Metric:
        dimensions = {"EndpointName": endpoint.attr_endpoint_name}
        minute = cdk.Duration.minutes(1)
        return cloudwatch.Metric(
            namespace="AWS/SageMaker", metric_name=name, dimensions_map=dimensions, period=minute
        )

    target.scale_to_track_metric(
        "Backlog",
        custom_metric=metric("ApproximateBacklogSizePerInstance"),
        target_value=hosting.concurrent_requests_per_instance,
        scale_in_cooldown=COOLDOWN,
    )
    wake = autoscaling.StepScalingAction(
        scope,
        "Wake",
        scaling_target=target,
        cooldown=COOLDOWN,
        adjustment_type=autoscaling.AdjustmentType.CHANGE_IN_CAPACITY,
    )
    wake.add_adjustment(adjustment=1, lower_bound=0)
    alarm = metric("HasBacklogWithoutCapacity").create_alarm(
        scope,
        "Waiting",
        alarm_description="Images wait and no instance runs",
        threshold=1,
        evaluation_periods=2,
        datapoints_to_alarm=1,
    )
    alarm.add_alarm_action(actions.ApplicationScalingAction(wake))
