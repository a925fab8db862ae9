"""SageMaker's control plane: what its API and CloudFormation have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from infra.emulator.sagemaker.endpoints import Endpoint
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    AccessDenied,
    Properties,
    Resource,
    SageMakerError,
    Store,
    invalid,
    mapping,
    production_variant,
    resolve,
    text,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from infra.emulator.sagemaker.launcher import Launcher

# What SageMaker does not allow in the model of a serverless variant:
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions
_NOT_SERVERLESS_MODEL = ("VpcConfig", "EnableNetworkIsolation")
_OFF = (None, False, "false")
_OCI = "application/vnd.oci."  # media types of OCI's manifests and indexes
# The defaults of new configurations, in botocore's MetricsConfig.
_METRICS = {"EnableDetailedObservability": True, "EnableEnhancedMetrics": False}


class SageMaker:
    """Models, endpoint configurations and endpoints of the emulator's one account."""

    def __init__(self, *, launcher: Launcher, port: int, hide_rollbacks: bool = False) -> None:
        self.models: Store[Resource] = Store(MODEL)
        self.configs: Store[Resource] = Store(ENDPOINT_CONFIG)
        self.endpoints: Store[Endpoint] = Store(ENDPOINT)
        self.hide_rollbacks = hide_rollbacks
        self._launcher = launcher
        self._port = port

    def tags(self) -> Iterator[tuple[str, object]]:
        """Yield the ARN and the tags of each model and endpoint configuration."""
        for each in (*self.models.all(), *self.configs.all()):
            yield each.arn, each.properties.get("Tags", [])

    def create_model(self, properties: Properties) -> Resource:
        """Store a model whose artifact exists and whose image is no OCI image."""
        if properties.get("Containers"):
            raise invalid("The emulated SageMaker runs models of one container (PrimaryContainer).")
        container = mapping(properties, "PrimaryContainer")
        role = text(properties, "ExecutionRoleArn")
        image = text(container, "Image")
        url = text(container, "ModelDataUrl")
        try:
            execution = ExecutionRole(role, port=self._port)
            found = execution.object_exists(url)
        except AccessDenied as error:
            raise invalid(f"Could not access model data at {url}. {error}") from error
        if not found:
            raise invalid(f"Could not find model data at {url}.")
        manifest = execution.manifest_type(image) or ""
        if manifest.startswith(_OCI):  # the words: github.com/aws/amazon-sagemaker-feedback/issues/180
            raise invalid(
                f"Unsupported manifest media type {manifest} for image {image}. "
                "Ensure that valid manifest media type is used for specified image."
            )
        return _add(self.models, properties)

    def create_endpoint_config(self, properties: Properties) -> Resource:
        """Store an endpoint configuration whose model exists."""
        properties = {**properties, "MetricsConfig": {**_METRICS, **mapping(properties, "MetricsConfig")}}
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
        deployment = mapping(properties, "DeploymentConfig")
        self.endpoints.add(record.name, endpoint)
        try:
            endpoint.deploy(config, variant, deployment)
        except SageMakerError:
            self.endpoints.remove(record.name)
            raise
        return endpoint

    def update_endpoint(self, properties: Properties) -> Endpoint:
        """Begin to move an endpoint to another configuration."""
        endpoint = self._changeable(properties)
        config = self.configs.get(text(properties, "EndpointConfigName"))
        if endpoint.scalable:
            _refuse_another_instance_type(endpoint.config, config)
        deployment = mapping(properties, "DeploymentConfig")
        if not deployment and properties.get("RetainDeploymentConfig") in (True, "true"):
            deployment = endpoint.deployment_config
        endpoint.deploy(config, resolve(config, self.models), deployment)
        if properties.get("RetainAllVariantProperties") not in (True, "true"):
            endpoint.instance_count = None
        return endpoint

    def update_capacity(self, properties: Properties) -> Endpoint:
        """Record the number of instances, as auto scaling sets it."""
        endpoint = self._changeable(properties)
        resolve(endpoint.config, self.models)  # a new instance needs the model
        (desired,) = cast("list[Properties]", properties["DesiredWeightsAndCapacities"])
        endpoint.instance_count = cast("int | None", desired.get("DesiredInstanceCount"))
        return endpoint

    def _changeable(self, properties: Properties) -> Endpoint:
        """Return an endpoint, or raise AWS's error if the configuration that it serves was deleted."""
        endpoint = self.endpoints.get(text(properties, "EndpointName"))
        self.configs.get(endpoint.config.name)
        return endpoint

    def delete_endpoint(self, name: str) -> threading.Thread:
        """Begin to delete an endpoint; join the thread to wait until it is gone."""
        return self.endpoints.get(name).retire(then=lambda: self.endpoints.remove(name))


def _refuse_another_instance_type(now: Resource, new: Resource) -> None:
    """Raise SageMaker's error for an update of a scalable target; its wording is unverified on AWS.

    docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
    """
    before, after = production_variant(now.properties), production_variant(new.properties)
    if any(before.get(member) != after.get(member) for member in ("VariantName", "InstanceType")):
        raise invalid(
            f'The variant(s) "[{before["VariantName"]}]" must be deregistered as a scalable target with AWS '
            "Auto Scaling before they can be removed or have their instance type updated."
        )


def _add(store: Store[Resource], properties: Properties) -> Resource:
    resource = Resource.requested(store.type, properties)
    store.add(resource.name, resource)
    return resource
