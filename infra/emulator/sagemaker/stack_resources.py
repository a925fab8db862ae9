"""AWS::SageMaker::Model, EndpointConfig and Endpoint for CloudFormation.

A handler that fails leaves everything as it was: an endpoint that could not be created is removed again, and
one that could not be updated still serves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from infra.emulator.ministack_patches.cloudformation import Created, ResourceError, add_type, physical_name
from infra.emulator.sagemaker.resources import (
    ENDPOINT,
    Properties,
    Resource,
    ResourceType,
    SageMakerError,
    Store,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.emulator.sagemaker.endpoints import Endpoint
    from infra.emulator.sagemaker.service import SageMaker

_LONGEST_NAME = 63

# Properties whose change replaces the resource:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SageMaker.html
_REPLACING_MODEL = (
    "Containers", "EnableNetworkIsolation", "ExecutionRoleArn", "InferenceExecutionConfig", "ModelName",
    "PrimaryContainer", "VpcConfig",
)  # fmt: skip
_REPLACING_CONFIG = (
    "AsyncInferenceConfig", "DataCaptureConfig", "EnableNetworkIsolation", "EndpointConfigName",
    "ExecutionRoleArn", "ExplainerConfig", "KmsKeyId", "MetricsConfig", "ProductionVariants",
    "ShadowProductionVariants", "VpcConfig",
)  # fmt: skip


def add(sagemaker: SageMaker) -> None:
    """Add the three types to CloudFormation."""
    _add_stored(sagemaker.models, sagemaker.create_model, replacing=_REPLACING_MODEL)
    _add_stored(sagemaker.configs, sagemaker.create_endpoint_config, replacing=_REPLACING_CONFIG)
    _add_endpoint(sagemaker)
    _add_scalable_target(sagemaker)


def _named(kind: ResourceType, logical_id: str, properties: Properties, stack: str) -> dict[str, object]:
    """Return the properties with a generated name where the template gives none."""
    name = properties.get(kind.name_member) or physical_name(stack, logical_id, longest=_LONGEST_NAME)
    return {**properties, kind.name_member: name}


def _add_stored(
    store: Store[Resource], create_resource: Callable[[Properties], Resource], *, replacing: tuple[str, ...]
) -> None:
    kind = store.type

    def find(arn: str) -> Resource | None:
        return next((each for each in store.all() if each.arn == arn), None)

    def described(resource: Resource) -> Created:
        return resource.arn, {kind.name_member: resource.name}

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        return described(create_resource(_named(kind, logical_id, properties, stack)))

    def update(arn: str, _new: Properties) -> Created:
        """Accept a change of tags; every other change is a replacement."""
        return described(cast("Resource", find(arn)))

    def delete(arn: str, _properties: Properties) -> None:
        if resource := find(arn):
            store.remove(resource.name)

    name = f"AWS::SageMaker::{kind.member}"
    add_type(name, create=create, update=update, delete=delete, replacing=replacing, waits=True, tagged=True)


def _add_endpoint(sagemaker: SageMaker) -> None:
    def find(arn: str) -> Endpoint | None:
        return next((each for each in sagemaker.endpoints.all() if each.record.arn == arn), None)

    def described(endpoint: Endpoint) -> Created:
        return endpoint.record.arn, {"EndpointName": endpoint.record.name}

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        endpoint = sagemaker.create_endpoint(_named(ENDPOINT, logical_id, properties, stack))
        if endpoint.wait() == "Failed":
            sagemaker.delete_endpoint(endpoint.record.name).join()
            raise ResourceError(endpoint.failure_reason)
        return described(endpoint)

    def update(arn: str, new: Properties) -> Created:
        endpoint = find(arn)
        if endpoint is None:
            raise ResourceError(f"Could not find endpoint {arn}.")
        wanted = str(new["EndpointConfigName"])
        if endpoint.config.name != wanted:
            sagemaker.update_endpoint({**new, "EndpointName": endpoint.record.name})
            endpoint.wait()
            if endpoint.config.name != wanted and not sagemaker.hide_rollbacks:
                raise ResourceError(endpoint.failure_reason)
        return described(endpoint)

    def delete(arn: str, _properties: Properties) -> None:
        if endpoint := find(arn):
            sagemaker.delete_endpoint(endpoint.record.name).join()

    name = "AWS::SageMaker::Endpoint"
    add_type(name, create=create, update=update, delete=delete, replacing=("EndpointName",), waits=True)


def _add_scalable_target(sagemaker: SageMaker) -> None:
    identity = ("ResourceId", "ScalableDimension", "ServiceNamespace")

    def register(properties: Properties, *, scalable: bool) -> str:
        endpoint = str(properties["ResourceId"]).split("/")[1]  # endpoint/NAME/variant/NAME
        sagemaker.endpoints.get(endpoint).scalable = scalable
        return "|".join(str(properties.get(member)) for member in identity)

    def create(_logical_id: str, properties: Properties, _stack: str) -> Created:
        id_ = register(properties, scalable=True)
        return id_, {"Id": id_}

    def delete(_id: str, properties: Properties) -> None:
        with suppress(SageMakerError):  # deleting an endpoint deregisters it
            register(properties, scalable=False)

    name = "AWS::ApplicationAutoScaling::ScalableTarget"
    add_type(name, create=create, update=lambda id_, _: (id_, {"Id": id_}), delete=delete, replacing=identity)
