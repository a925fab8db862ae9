"""The SageMaker model, endpoint configuration and endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.config import Canary, RealTime, Serverless
from infra.constructs.rollout import CanaryRollout
from infra.names import VARIANT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_iam as iam

# The container answers /ping within a second or so; more means that it never will.
START_TIMEOUT_S = 120


class ModelEndpoint(Construct):
    """An endpoint under a constant name, whose model and configuration are replaced with every release.

    Neither of those has a name of ours: CloudFormation makes the new one before it removes the old one.
    A new release changes the model alone; the configuration and the endpoint follow by reference.

    Attributes
    ----------
    model_name, config_name
        What CloudFormation named them.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        hosting: Serverless | RealTime,
        image_uri: str,
        model_data_url: str,
        container_environment: Mapping[str, str],
        role: iam.Role,
    ) -> None:
        super().__init__(scope, id_)
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            enable_network_isolation=True if isinstance(hosting, RealTime) else None,  # serverless refuses it
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image_uri, model_data_url=model_data_url, environment=dict(container_environment)
            ),
        )
        # The reference covers the role, not its policy; without that the first create can be refused.
        model.node.add_dependency(role)
        config = sagemaker.CfnEndpointConfig(
            self, "Config", production_variants=[_variant(hosting, model_name=model.attr_model_name)]
        )
        sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=name,
            endpoint_config_name=config.attr_endpoint_config_name,
            deployment_config=self._deployment_config(hosting, name, role),
        )
        self.model_name = model.attr_model_name
        self.config_name = config.attr_endpoint_config_name

    def _deployment_config(
        self, hosting: Serverless | RealTime, name: str, role: iam.Role
    ) -> sagemaker.CfnEndpoint.DeploymentConfigProperty | None:
        """Return the guardrails; without them SageMaker moves all traffic once the new fleet is healthy."""
        if isinstance(hosting, RealTime) and isinstance(hosting.rollout, Canary):
            rollout = CanaryRollout(self, "Rollout", canary=hosting.rollout, endpoint_name=name, role=role)
            return rollout.deployment_config
        return None


def _variant(
    hosting: Serverless | RealTime, *, model_name: str
) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
    config = sagemaker.CfnEndpointConfig
    if isinstance(hosting, Serverless):
        return config.ProductionVariantProperty(
            variant_name=VARIANT_NAME,
            model_name=model_name,
            initial_variant_weight=1,
            serverless_config=config.ServerlessConfigProperty(
                memory_size_in_mb=hosting.memory_mb, max_concurrency=hosting.max_concurrency
            ),
        )
    return config.ProductionVariantProperty(
        variant_name=VARIANT_NAME,
        model_name=model_name,
        initial_variant_weight=1,
        instance_type=hosting.instance_type,
        initial_instance_count=hosting.instance_count,
        container_startup_health_check_timeout_in_seconds=START_TIMEOUT_S,
    )
