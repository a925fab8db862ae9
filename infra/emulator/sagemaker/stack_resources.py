"""AWS::SageMaker::Model, EndpointConfig, Endpoint and Pipeline for CloudFormation.

A handler that fails leaves everything as it was: an endpoint that could not be created is removed again, and
one that could not be updated still serves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from infra.emulator.ministack_patches.cloudformation import Created, ResourceError, add_type, physical_name
from infra.emulator.sagemaker.pipelines import PIPELINE
from infra.emulator.sagemaker.resources import Resource
from infra.emulator.validation.requests import of_resource
from infra.emulator.validation.shapes import InvalidRequest, Shape, model

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.emulator.sagemaker.endpoints import Endpoint
    from infra.emulator.sagemaker.resources import Store, T
    from infra.emulator.sagemaker.service import SageMaker
    from infra.emulator.validation.rules import Json

_LONGEST_NAME = 63


def add(sagemaker: SageMaker) -> None:
    """Add the types to CloudFormation."""
    _add(sagemaker.models, sagemaker.create_model, delete=sagemaker.models.remove)
    _add(sagemaker.configs, sagemaker.create_endpoint_config, delete=sagemaker.configs.remove)
    _add_endpoint(sagemaker)
    _add_pipeline(sagemaker)
    _add_scalable_target(sagemaker)


def _add_endpoint(sagemaker: SageMaker) -> None:
    def create(request: Json) -> Endpoint:
        endpoint = sagemaker.create_endpoint(request)
        if endpoint.wait() == "Failed":
            delete(endpoint.name)
            raise ResourceError(endpoint.failure_reason)
        return endpoint

    def update(endpoint: Endpoint, properties: Json) -> None:
        request = _request("UpdateEndpoint", {**properties, "EndpointName": endpoint.name})
        wanted = request["EndpointConfigName"]
        if endpoint.config.name == wanted:
            return
        sagemaker.update_endpoint(request)
        endpoint.wait()
        if endpoint.config.name != wanted and not sagemaker.hide_rollbacks:
            raise ResourceError(endpoint.failure_reason)

    def delete(name: str) -> None:
        sagemaker.delete_endpoint(name).join()

    _add(sagemaker.endpoints, create, update=update, delete=delete)


def _add_pipeline(sagemaker: SageMaker) -> None:
    def update(pipeline: Resource, properties: Json) -> None:
        pipeline.properties = _request("CreatePipeline", {**properties, "PipelineName": pipeline.name})

    def create(request: Json) -> Resource:
        return sagemaker.pipelines.add(Resource(PIPELINE, request))

    _add(sagemaker.pipelines, create, update=update, delete=sagemaker.pipelines.remove)


def _add(
    store: Store[T],
    create: Callable[[Json], T],
    *,
    update: Callable[[T, Json], None] | None = None,
    delete: Callable[[str], None],
) -> None:
    """Add a type; without `update` a change of anything but its tags replaces the resource."""
    kind = store.type
    shape: Shape = model("sagemaker").operation_model(f"Create{kind.member}").input_shape
    replacing = {kind.name_member} if update else shape.members.keys() - {"Tags"}

    def described(item: Resource) -> Created:
        return item.arn, {kind.name_member: item.name}

    def create_item(logical_id: str, properties: Json, stack: str) -> Created:
        name = properties.get(kind.name_member) or physical_name(stack, logical_id, longest=_LONGEST_NAME)
        return described(create(_request(f"Create{kind.member}", {**properties, kind.name_member: name})))

    def update_item(arn: str, properties: Json) -> Created:
        item = store.find(arn)
        if item is None:
            raise ResourceError(f"Could not find {kind.label} {arn}.")
        if update:
            update(item, properties)
        return described(item)

    def delete_item(arn: str, _properties: Json) -> None:
        if item := store.find(arn):
            delete(item.name)

    add_type(
        f"AWS::SageMaker::{kind.member}",
        create=create_item,
        update=update_item,
        delete=delete_item,
        replacing=tuple(replacing),
        waits=True,
        tagged=True,
    )


def _request(operation: str, properties: Json) -> Json:
    """Return a resource's properties as the members of an operation's request, with their types."""
    kind = f"AWS::SageMaker::{operation.removeprefix('Create').removeprefix('Update')}"
    return next(request for _, name, request in of_resource(kind, properties) if name == operation)


def _add_scalable_target(sagemaker: SageMaker) -> None:
    identity = ("ResourceId", "ScalableDimension", "ServiceNamespace")

    def register(properties: Json, *, scalable: bool) -> str:
        endpoint = properties["ResourceId"].split("/")[1]  # endpoint/NAME/variant/NAME
        sagemaker.endpoints.get(endpoint).scalable = scalable
        return "|".join(properties[member] for member in identity)

    def create(_logical_id: str, properties: Json, _stack: str) -> Created:
        id_ = register(properties, scalable=True)
        return id_, {"Id": id_}

    def delete(_id: str, properties: Json) -> None:
        with suppress(InvalidRequest):  # deleting an endpoint deregisters it
            register(properties, scalable=False)

    name = "AWS::ApplicationAutoScaling::ScalableTarget"
    add_type(name, create=create, update=lambda id_, _: (id_, {"Id": id_}), delete=delete, replacing=identity)
