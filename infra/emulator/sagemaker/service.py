"""SageMaker's control plane: what its API and CloudFormation have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.emulator.sagemaker.endpoints import Endpoint
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    AccessDenied,
    Properties,
    Resource,
    Store,
    invalid,
    mapping,
    production_variant,
    resolve,
    text,
)

if TYPE_CHECKING:
    import threading

    from infra.emulator.sagemaker.launcher import Launcher

# What SageMaker does not allow in the model of a serverless variant:
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions
_NOT_SERVERLESS_MODEL = ("VpcConfig", "EnableNetworkIsolation")
_OFF = (None, False, "false")


class SageMaker:
    """Models, endpoint configurations and endpoints of the emulator's one account."""

    def __init__(self, *, launcher: Launcher, port: int) -> None:
        self.models: Store[Resource] = Store(MODEL)
        self.configs: Store[Resource] = Store(ENDPOINT_CONFIG)
        self.endpoints: Store[Endpoint] = Store(ENDPOINT)
        self._launcher = launcher
        self._port = port

    def create_model(self, properties: Properties) -> Resource:
        """Store a model whose artifact exists."""
        if properties.get("Containers"):
            raise invalid("The emulated SageMaker runs models of one container (PrimaryContainer).")
        container = mapping(properties, "PrimaryContainer")
        role = text(properties, "ExecutionRoleArn")
        text(container, "Image")
        url = text(container, "ModelDataUrl")
        try:
            found = ExecutionRole(role, port=self._port).object_exists(url)
        except AccessDenied as error:
            raise invalid(f"Could not access model data at {url}. {error}") from error
        if not found:
            raise invalid(f"Could not find model data at {url}.")
        return _add(self.models, properties)

    def create_endpoint_config(self, properties: Properties) -> Resource:
        """Store an endpoint configuration whose model exists."""
        variant = production_variant(properties)
        model = self.models.get(text(variant, "ModelName")).properties
        if variant.get("ServerlessConfig"):
            refused = [name for name in _NOT_SERVERLESS_MODEL if model.get(name) not in _OFF]
            if refused:
                raise invalid(f"A serverless variant does not support {', '.join(refused)}.")
        return _add(self.configs, properties)

    def create_endpoint(self, properties: Properties) -> Endpoint:
        """Begin to bring an endpoint up."""
        record = Resource.requested(ENDPOINT, properties)
        config = self.configs.get(text(properties, "EndpointConfigName"))
        variant = resolve(config, self.models)
        endpoint = Endpoint(record, config, launcher=self._launcher)
        self.endpoints.add(record.name, endpoint)
        endpoint.deploy(config, variant, mapping(properties, "DeploymentConfig"))
        return endpoint

    def update_endpoint(self, properties: Properties) -> Endpoint:
        """Begin to move an endpoint to another configuration."""
        endpoint = self.endpoints.get(text(properties, "EndpointName"))
        config = self.configs.get(text(properties, "EndpointConfigName"))
        deployment = mapping(properties, "DeploymentConfig")
        if not deployment and properties.get("RetainDeploymentConfig") in (True, "true"):
            deployment = endpoint.deployment_config
        endpoint.deploy(config, resolve(config, self.models), deployment)
        return endpoint

    def delete_endpoint(self, name: str) -> threading.Thread:
        """Begin to delete an endpoint; join the thread to wait until it is gone."""
        return self.endpoints.get(name).retire(then=lambda: self.endpoints.remove(name))


def _add(store: Store[Resource], properties: Properties) -> Resource:
    resource = Resource.requested(store.type, properties)
    store.add(resource.name, resource)
    return resource
