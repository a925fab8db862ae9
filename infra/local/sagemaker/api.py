"""SageMaker's JSON API: ``POST /`` with ``X-Amz-Target: SageMaker.<Action>``.

Shapes: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from infra.local import policies
from infra.local.sagemaker.catalog import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Catalog,
    Kind,
    Properties,
    Record,
    text,
)
from infra.local.sagemaker.errors import SageMakerError
from infra.local.sagemaker.service import SageMaker
from infra.local.sagemaker.variant import production_variant

if TYPE_CHECKING:
    from infra.local.sagemaker.endpoints import Endpoint

Answer = tuple[int, dict[str, str], bytes]
_Action = Callable[[SageMaker, Properties], dict[str, object]]
_CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET_PREFIX = "SageMaker."


def answer(sagemaker: SageMaker, target: str, body: bytes) -> Answer:
    """Answer one request of the control plane.

    Parameters
    ----------
    target
        The header ``X-Amz-Target``.
    body
        The action's parameters as JSON.
    """
    action = _ACTIONS.get(target.removeprefix(TARGET_PREFIX))
    try:
        if action is None:
            raise SageMakerError("UnknownOperationException", f"The laptop's SageMaker does not do {target}.")
        return 200, {"Content-Type": _CONTENT_TYPE}, json.dumps(action(sagemaker, _parameters(body))).encode()
    except SageMakerError as error:
        return error_answer(error, content_type=_CONTENT_TYPE)


def refused(target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
    """Return AWS's refusal of a request that its caller's policies do not allow; None if they do.

    Parameters as in `answer`; `headers` by their names in lower case.
    """
    action = target.removeprefix(TARGET_PREFIX)
    kind = next((kind for kind in (MODEL, ENDPOINT_CONFIG, ENDPOINT) if action.endswith(kind.member)), None)
    try:
        name = _parameters(body).get(kind.name_member) if kind else None
    except SageMakerError as error:
        return error_answer(error, content_type=_CONTENT_TYPE)
    resource = kind.arn_of(str(name)) if kind else "*"  # lists take no resource
    why = policies.denial(f"sagemaker:{action}", resource, headers)
    return (
        error_answer(SageMakerError("AccessDeniedException", why), content_type=_CONTENT_TYPE)
        if why
        else None
    )


def error_answer(error: SageMakerError, *, content_type: str) -> Answer:
    """Return an error as SDKs expect it: its name in body and header, its message in both spellings."""
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
    headers = {"Content-Type": content_type, "x-amzn-ErrorType": error.code}
    return error.status, headers, json.dumps(body).encode()


def _parameters(body: bytes) -> Mapping[str, object]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError as error:
        raise SageMakerError("SerializationException", f"The body is not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise SageMakerError("SerializationException", "The body is not a JSON object.")
    return parameters


def _arn(kind: Kind, record: Record) -> dict[str, object]:
    return {f"{kind.member}Arn": record.arn}


def _describe_record(catalog: Catalog, parameters: Properties) -> dict[str, object]:
    record = catalog.get(text(parameters, catalog.kind.name_member))
    described = {key: value for key, value in record.properties.items() if key != "Tags"}
    return described | _arn(catalog.kind, record) | {"CreationTime": record.created}


def _delete_record(catalog: Catalog, parameters: Properties) -> dict[str, object]:
    catalog.delete(text(parameters, catalog.kind.name_member))
    return {}


def _describe_endpoint(sagemaker: SageMaker, parameters: Properties) -> dict[str, object]:
    endpoint = sagemaker.endpoints.get(text(parameters, "EndpointName"))
    described: dict[str, object] = {
        "EndpointName": endpoint.record.name,
        "EndpointArn": endpoint.record.arn,
        "EndpointConfigName": endpoint.config.name,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.record.created,
        "LastModifiedTime": endpoint.modified,
    }
    if endpoint.deployment_config:
        described["LastDeploymentConfig"] = endpoint.deployment_config
    if endpoint.failure_reason:
        described["FailureReason"] = endpoint.failure_reason
    variants = _describe_variants(endpoint)
    return described | ({"ProductionVariants": variants} if variants else {})


def _describe_variants(endpoint: Endpoint) -> list[dict[str, object]]:
    """Describe what serves; ``ResolvedImage`` says what really runs, image digest or process."""
    running = endpoint.running
    if running is None:
        return []
    declared = production_variant(endpoint.config.properties)
    image = {"SpecifiedImage": running.variant.image, "ResolvedImage": running.image}
    variant: dict[str, object] = {"VariantName": running.variant.name, "DeployedImages": [image]}
    if running.variant.serverless:
        return [variant | {"CurrentServerlessConfig": declared["ServerlessConfig"]}]
    count = int(str(declared.get("InitialInstanceCount", 1)))
    weight = float(str(declared.get("InitialVariantWeight", 1)))
    sizes = {"CurrentInstanceCount": count, "DesiredInstanceCount": count}
    return [variant | sizes | {"CurrentWeight": weight, "DesiredWeight": weight}]


def _delete_endpoint(sagemaker: SageMaker, parameters: Properties) -> dict[str, object]:
    sagemaker.endpoints.delete(text(parameters, "EndpointName"))
    return {}


def _list(kind: Kind, records: Iterable[Record], parameters: Properties) -> dict[str, object]:
    """List on one page, which an SDK's paginator takes for the last."""
    wanted = str(parameters.get("NameContains", "")).lower()
    return {
        f"{kind.member}s": [
            {kind.name_member: record.name, "CreationTime": record.created, **_arn(kind, record)}
            for record in records
            if wanted in record.name.lower()
        ]
    }


def _list_endpoints(sagemaker: SageMaker, parameters: Properties) -> dict[str, object]:
    states = {each.record.name: each for each in sagemaker.endpoints.all()}
    listed = _list(ENDPOINT, [each.record for each in states.values()], parameters)
    for summary in listed["Endpoints"]:  # type: ignore[attr-defined]
        state = states[summary["EndpointName"]]
        summary |= {"EndpointStatus": state.status, "LastModifiedTime": state.modified}
    return listed


_ACTIONS: dict[str, _Action] = {
    "CreateModel": lambda sagemaker, given: _arn(MODEL, sagemaker.create_model(given)),
    "DescribeModel": lambda sagemaker, given: _describe_record(sagemaker.models, given),
    "ListModels": lambda sagemaker, given: _list(MODEL, sagemaker.models.all(), given),
    "DeleteModel": lambda sagemaker, given: _delete_record(sagemaker.models, given),
    "CreateEndpointConfig": lambda sagemaker, given: _arn(
        ENDPOINT_CONFIG, sagemaker.create_endpoint_config(given)
    ),
    "DescribeEndpointConfig": lambda sagemaker, given: _describe_record(sagemaker.configs, given),
    "ListEndpointConfigs": lambda sagemaker, given: _list(ENDPOINT_CONFIG, sagemaker.configs.all(), given),
    "DeleteEndpointConfig": lambda sagemaker, given: _delete_record(sagemaker.configs, given),
    "CreateEndpoint": lambda sagemaker, given: _arn(ENDPOINT, sagemaker.create_endpoint(given).record),
    "UpdateEndpoint": lambda sagemaker, given: _arn(ENDPOINT, sagemaker.update_endpoint(given).record),
    "DescribeEndpoint": _describe_endpoint,
    "ListEndpoints": _list_endpoints,
    "DeleteEndpoint": _delete_endpoint,
}
