"""AWS::SageMaker::Model, EndpointConfig and Endpoint for ministack's CloudFormation.

ministack's engine knows replacement, clean-up after an update, and roll-back; it asks a type's handlers only
to create, update and delete. What it expects of a handler that fails is that nothing has changed: an endpoint
that was not created is removed again, one that was not updated still serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ministack.services.cloudformation import handlers, provisioners, stacks

from infra.local.sagemaker.catalog import ENDPOINT, Catalog, Kind, Properties, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.local.sagemaker.endpoints import Endpoint
    from infra.local.sagemaker.service import SageMaker

    _Answer = Callable[[Mapping[str, object]], object]

_Created = tuple[str, dict[str, str]]
_MAX_NAME = 63
_MODEL = "AWS::SageMaker::Model"
_ENDPOINT_CONFIG = "AWS::SageMaker::EndpointConfig"
_ENDPOINT = "AWS::SageMaker::Endpoint"

# Properties whose change replaces the resource:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SageMaker.html
_REPLACING = {
    _MODEL: (
        "Containers", "EnableNetworkIsolation", "ExecutionRoleArn", "InferenceExecutionConfig", "ModelName",
        "PrimaryContainer", "VpcConfig",
    ),
    _ENDPOINT_CONFIG: (
        "AsyncInferenceConfig", "DataCaptureConfig", "EnableNetworkIsolation", "EndpointConfigName",
        "ExecutionRoleArn", "ExplainerConfig", "KmsKeyId", "ProductionVariants", "ShadowProductionVariants",
        "VpcConfig",
    ),
    _ENDPOINT: ("EndpointName",),
}  # fmt: skip


class StackError(Exception):
    """A resource was not created or updated; the message becomes the stack event's reason."""


def register(sagemaker: SageMaker) -> None:
    """Enter the three types in ministack's tables."""
    provisioners._RESOURCE_HANDLERS.update(
        {
            _MODEL: _record_handlers(sagemaker.models, sagemaker.create_model),
            _ENDPOINT_CONFIG: _record_handlers(sagemaker.configs, sagemaker.create_endpoint_config),
            _ENDPOINT: _endpoint_handlers(sagemaker),
        }
    )
    provisioners._REPLACING_PROPERTIES.update(_REPLACING)

    # Their handlers wait, and read the laptop's own S3: on the event loop they would wait for themselves.
    known = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda kind: kind in _REPLACING or known(kind)

    action = "ContinueUpdateRollback"
    handlers._ACTION_HANDLERS[action] = _skipping_nothing(handlers._ACTION_HANDLERS[action])


def _skipping_nothing(answer: _Answer) -> _Answer:
    """Take an empty list of resources to skip, as the CDK CLI sends it, for none."""

    def answered(parameters: Mapping[str, object]) -> object:
        return answer({key: value for key, value in parameters.items() if value != [""]})

    return answered


def _named(kind: Kind, logical_id: str, properties: Properties, stack: str) -> dict[str, object]:
    """Return the properties with a generated name where the template gives none, as CloudFormation does."""
    name = properties.get(kind.name_member)
    name = name or provisioners._physical_name(stack, logical_id, max_len=_MAX_NAME)
    return {**properties, kind.name_member: name}


def _record_handlers(catalog: Catalog, create_record: Callable[[Properties], Record]) -> Mapping[str, object]:
    kind = catalog.kind

    def create(logical_id: str, properties: Properties, stack: str) -> _Created:
        record = create_record(_named(kind, logical_id, properties, stack))
        return record.arn, {kind.name_member: record.name}

    def update(arn: str, _old: Properties, _new: Properties, _stack: str) -> _Created:
        """Take over a change of tags; every other one is a replacement."""
        return arn, {kind.name_member: next(each.name for each in catalog.all() if each.arn == arn)}

    def delete(arn: str, _properties: Properties) -> None:
        for record in catalog.all():
            if record.arn == arn:
                catalog.delete(record.name)

    return {"create": create, "update": update, "delete": delete}


def _endpoint_handlers(sagemaker: SageMaker) -> Mapping[str, object]:
    def find(arn: str) -> Endpoint | None:
        return next((each for each in sagemaker.endpoints.all() if each.record.arn == arn), None)

    def create(logical_id: str, properties: Properties, stack: str) -> _Created:
        named = _named(ENDPOINT, logical_id, properties, stack)
        endpoint = sagemaker.create_endpoint(named)
        if endpoint.wait() == "Failed":
            sagemaker.endpoints.delete(endpoint.record.name).join()
            raise StackError(endpoint.failure_reason)
        return _identity(endpoint)

    def update(arn: str, _old: Properties, new: Properties, _stack: str) -> _Created:
        endpoint = find(arn)
        if endpoint is None:
            raise StackError(f"Could not find endpoint {arn}.")
        wanted = str(new["EndpointConfigName"])
        if endpoint.config.name != wanted:
            sagemaker.update_endpoint({**new, "EndpointName": endpoint.record.name})
            endpoint.wait()
            if endpoint.config.name != wanted:
                raise StackError(endpoint.failure_reason)
        return _identity(endpoint)

    def delete(arn: str, _properties: Properties) -> None:
        if endpoint := find(arn):
            sagemaker.endpoints.delete(endpoint.record.name).join()

    return {"create": create, "update": update, "delete": delete}


def _identity(endpoint: Endpoint) -> _Created:
    return endpoint.record.arn, {"EndpointName": endpoint.record.name}
