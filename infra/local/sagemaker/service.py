"""SageMaker's control plane: what its API and CloudFormation both do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.sagemaker.artifact import location
from infra.local.sagemaker.catalog import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Catalog,
    Properties,
    Record,
    mapping,
    text,
)
from infra.local.sagemaker.cloud import AccessDenied
from infra.local.sagemaker.endpoints import Endpoint, Endpoints
from infra.local.sagemaker.errors import invalid
from infra.local.sagemaker.rollout import rollout
from infra.local.sagemaker.variant import production_variant, resolve

if TYPE_CHECKING:
    from infra.local.sagemaker.cloud import Cloud
    from infra.local.sagemaker.launcher import Launcher

# What SageMaker does not take together with a serverless variant:
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions
_NOT_SERVERLESS_CONFIG = ("DataCaptureConfig", "KmsKeyId", "AsyncInferenceConfig", "ExplainerConfig")
_NOT_SERVERLESS_MODEL = ("VpcConfig", "EnableNetworkIsolation")
_OFF = (None, False, "false")


class SageMaker:
    """Models, endpoint configurations and endpoints of the one account that a laptop has."""

    def __init__(self, *, cloud: Cloud, launcher: Launcher) -> None:
        self.models = Catalog(MODEL)
        self.configs = Catalog(ENDPOINT_CONFIG)
        self.endpoints = Endpoints(launcher=launcher)
        self._cloud = cloud

    def create_model(self, properties: Properties) -> Record:
        """Keep a model, once its artifact is known to be there.

        Raises
        ------
        SageMakerError
            If something is missing, or asked for that is not emulated.
        """
        if properties.get("Containers"):
            raise invalid("The laptop's SageMaker runs models of one container (PrimaryContainer).")
        container = mapping(properties, "PrimaryContainer")
        role = text(properties, "ExecutionRoleArn")
        text(container, "Image")
        url = text(container, "ModelDataUrl")
        bucket, key = location(url)
        try:
            found = self._cloud.store(role).exists(bucket, key)
        except AccessDenied as error:
            raise invalid(f"Could not access model data at {url}. {error}") from error
        if not found:
            raise invalid(f"Could not find model data at {url}.")
        return self.models.create(properties)

    def create_endpoint_config(self, properties: Properties) -> Record:
        """Keep an endpoint configuration, once its model is known to be there.

        Raises
        ------
        SageMakerError
            If something is missing, or cannot go together.
        """
        variant = production_variant(properties)
        text(variant, "VariantName")
        model = self.models.get(text(variant, "ModelName")).properties
        if variant.get("ServerlessConfig"):
            refused = [name for name in _NOT_SERVERLESS_CONFIG if properties.get(name)]
            refused += [name for name in _NOT_SERVERLESS_MODEL if model.get(name) not in _OFF]
            if refused:
                raise invalid(f"A serverless variant does not support {', '.join(refused)}.")
        return self.configs.create(properties)

    def create_endpoint(self, properties: Properties) -> Endpoint:
        """Begin to bring an endpoint up."""
        name = text(properties, "EndpointName")
        config = self.configs.get(text(properties, "EndpointConfigName"))
        record = Record(name=name, arn=ENDPOINT.arn_of(name), properties=properties)
        guarded = mapping(properties, "DeploymentConfig")
        endpoint = self.endpoints.create(record, config, resolve(config, self.models), rollout(guarded))
        endpoint.deployment_config = guarded
        return endpoint

    def update_endpoint(self, properties: Properties) -> Endpoint:
        """Begin to move an endpoint to another configuration."""
        endpoint = self.endpoints.get(text(properties, "EndpointName"))
        config = self.configs.get(text(properties, "EndpointConfigName"))
        guarded = mapping(properties, "DeploymentConfig")
        if not guarded and properties.get("RetainDeploymentConfig") in (True, "true"):
            guarded = endpoint.deployment_config
        endpoint.deploy(config, resolve(config, self.models), rollout(guarded))
        endpoint.deployment_config = guarded
        return endpoint
