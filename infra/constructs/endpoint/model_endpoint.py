"""The SageMaker model, endpoint configuration and endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.config.hosting import Async, RealTime, Serverless
from infra.constructs.endpoint.async_inference import AsyncInference, scale_by_backlog
from infra.constructs.endpoint.rollout import RolloutWithAlarms
from infra.constructs.endpoint.scaling import InstanceScaling
from infra.names import SHADOW_VARIANT_NAME, VARIANT_NAME
from infra.release import artifact_key

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms

    from infra.config import Settings
    from infra.config.hosting import DataCapture, Network
    from infra.config.rollout import Rollout
    from infra.release import Release

# The container answers /ping within a second or so; after this long it never will.
START_TIMEOUT_S = 120


class ModelEndpoint(Construct):
    """An endpoint with a constant name, whose model and configuration are replaced with every release.

    CloudFormation names those (`model_name`, `config_name`), so it can create the new one before it removes
    the old one. A new release changes only the model; configuration and endpoint follow by reference.

    What is replaced is kept until `scripts/deploy` prunes it: where SageMaker takes an update back and
    CloudFormation does not notice (unverified on AWS), the endpoint still serves it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        image_uri: str,
        release: Release,
        shadow: Release | None,
        bucket: str,
        role: iam.Role,
        key: kms.IKey | None,
        capture_url: str,
    ) -> None:
        super().__init__(scope, id_)
        hosting = settings.hosting
        real_time = hosting if isinstance(hosting, RealTime) else None  # the others refuse its options
        queued, on_instances = settings.asynchronous, not isinstance(hosting, Serverless)
        models = [
            sagemaker.CfnModel(
                self,
                model_id,
                execution_role_arn=role.role_arn,
                enable_network_isolation=True if on_instances else None,
                vpc_config=_vpc(real_time.network) if real_time and real_time.network else None,
                primary_container=_container(
                    each, image_uri=image_uri, bucket=bucket, queued=queued is not None
                ),
            )
            for model_id, each in (("Model", release), ("ShadowModel", shadow))
            if each
        ]
        for each in models:
            # The reference covers the role, not its policy, without which the first create can be refused.
            each.node.add_dependency(role)
        model, *shadow_models = models
        share = settings.shadow.percent / 100 if settings.shadow else 0
        capture = settings.data_capture
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[_variant(hosting, model)],
            # **Unverified on AWS:** that its share of the requests is the ratio of both weights, and that an
            # update with guardrails may add and remove it.
            shadow_production_variants=[
                _variant(hosting, each, name=SHADOW_VARIANT_NAME, weight=share) for each in shadow_models
            ]
            or None,
            kms_key_id=key.key_arn if key and on_instances else None,
            async_inference_config=(
                AsyncInference(self, settings=settings, hosting=queued, role=role, key=key).config
                if queued
                else None
            ),
            data_capture_config=_capture(capture, url=capture_url, key=key) if capture else None,
            # On by default: billed metrics, and /metrics, which the container lacks, is read each minute.
            # **Unverified on AWS** for serverless variants.
            metrics_config=sagemaker.CfnEndpointConfig.MetricsConfigProperty(
                enable_detailed_observability=False
            ),
        )
        for replaced in (*models, config):
            replaced.cfn_options.update_replace_policy = cdk.CfnDeletionPolicy.RETAIN
            replaced.cfn_options.deletion_policy = cdk.CfnDeletionPolicy.DELETE
        for each in shadow_models:  # which leave the template, and are then as what is replaced
            each.cfn_options.deletion_policy = cdk.CfnDeletionPolicy.RETAIN
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=settings.endpoint_name,
            endpoint_config_name=config.attr_endpoint_config_name,
        )
        if real_time:
            self._add_rollout(endpoint, settings, real_time.rollout, role)
            self._scale(endpoint, real_time)
        if queued:
            scale_by_backlog(self, queued, endpoint)
            _keep_count(endpoint)
        self.model_name = model.attr_model_name
        self.config_name = config.attr_endpoint_config_name

    def _add_rollout(
        self, endpoint: sagemaker.CfnEndpoint, settings: Settings, rollout: Rollout, role: iam.Role
    ) -> None:
        """Add the guardrails, without which SageMaker moves all traffic once the new fleet is healthy."""
        if rollout.latency_alarm_ms is None:
            return
        endpoint.deployment_config = RolloutWithAlarms(
            self,
            "Rollout",
            settings=settings,
            rollout=rollout,
            latency_alarm_ms=rollout.latency_alarm_ms,
            role=role,
        ).deployment_config
        # SageMaker drops the guardrails in an update that neither has nor retains them. **Unverified on a
        # real account:** that an update's own take precedence over the retained ones; to verify it, change
        # the rollout and compare DescribeEndpoint's LastDeploymentConfig.
        endpoint.retain_deployment_config = True

    def _scale(self, endpoint: sagemaker.CfnEndpoint, hosting: RealTime) -> None:
        """Add the scaling. A deploy must not reset its count; without scaling the count is the settings'."""
        if hosting.scaling is None:
            return
        InstanceScaling(
            self,
            "Scaling",
            scaling=hosting.scaling,
            instance_count=hosting.instance_count,
            endpoint=endpoint,
        )
        _keep_count(endpoint)


def _keep_count(endpoint: sagemaker.CfnEndpoint) -> None:
    """Let updates keep the number of instances, which the scaling has set."""
    endpoint.retain_all_variant_properties = True
    endpoint.exclude_retained_variant_properties = [
        sagemaker.CfnEndpoint.VariantPropertyProperty(variant_property_type=kind)
        for kind in ("DesiredWeight", "DataCaptureConfig")  # these remain the settings'
    ]


def _variant(
    hosting: Serverless | RealTime | Async,
    model: sagemaker.CfnModel,
    *,
    name: str = VARIANT_NAME,
    weight: float = 1,
) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
    config = sagemaker.CfnEndpointConfig
    if isinstance(hosting, Serverless):
        return config.ProductionVariantProperty(
            variant_name=name,
            model_name=model.attr_model_name,
            initial_variant_weight=weight,
            serverless_config=config.ServerlessConfigProperty(
                memory_size_in_mb=hosting.memory_mb, max_concurrency=hosting.max_concurrency
            ),
        )
    return config.ProductionVariantProperty(
        variant_name=name,
        model_name=model.attr_model_name,
        initial_variant_weight=weight,
        instance_type=hosting.instance_type,
        # SageMaker begins with at least one; without a backlog the scaling then removes it.
        initial_instance_count=1 if isinstance(hosting, Async) else hosting.instance_count,
        container_startup_health_check_timeout_in_seconds=START_TIMEOUT_S,
    )


def _container(
    release: Release, *, image_uri: str, bucket: str, queued: bool
) -> sagemaker.CfnModel.ContainerDefinitionProperty:
    model = release.model
    return sagemaker.CfnModel.ContainerDefinitionProperty(
        image=image_uri,
        model_data_url=f"s3://{bucket}/{artifact_key(model.sha256)}",
        environment={
            "MODEL_NAME": model.name,
            "MODEL_VERSION": model.version,
            "MODEL_SHA256": model.sha256,
            **({"ASYNC_INFERENCE": "true"} if queued else {}),
        },
    )


def _vpc(network: Network) -> sagemaker.CfnModel.VpcConfigProperty:
    return sagemaker.CfnModel.VpcConfigProperty(
        subnets=list(network.subnet_ids), security_group_ids=list(network.security_group_ids)
    )


def _capture(
    capture: DataCapture, *, url: str, key: kms.IKey | None
) -> sagemaker.CfnEndpointConfig.DataCaptureConfigProperty:
    config = sagemaker.CfnEndpointConfig
    return config.DataCaptureConfigProperty(
        enable_capture=True,
        initial_sampling_percentage=capture.percent,
        destination_s3_uri=url,
        kms_key_id=key.key_arn if key else None,
        capture_options=[
            config.CaptureOptionProperty(capture_mode=mode.capitalize()) for mode in capture.what
        ],
        # These are kept as text; all else, images too, as base64. The media type of problems has a +, which
        # SageMaker does not accept here.
        capture_content_type_header=config.CaptureContentTypeHeaderProperty(
            json_content_types=["application/json"]
        ),
    )
