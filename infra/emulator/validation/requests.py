"""Requests as botocore's models describe them, out of HTTP and out of a template's resource."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from infra.emulator.validation.shapes import InvalidRequest, Shape, lower_first, model

if TYPE_CHECKING:
    from infra.emulator.validation.rules import Json

# By the namespace of CloudFormation's types.
SERVICES = {
    "ApiGateway": "apigateway",
    "ApplicationAutoScaling": "application-autoscaling",
    "ECR": "ecr",
    "SageMaker": "sagemaker",
}
# The requests for a resource other than one of its type's name ("CreateStage"), each with the property that
# holds what it is for; empty, it is for all of them.
_OPERATIONS: Mapping[str, Mapping[str, str]] = {
    "Endpoint": {"CreateEndpoint": "", "UpdateEndpoint": ""},
    "GatewayResponse": {"PutGatewayResponse": ""},
    "Method": {"PutMethod": "", "PutIntegration": "Integration"},
    "Repository": {"CreateRepository": "", "PutLifecyclePolicy": "LifecyclePolicy"},
    "ScalableTarget": {"RegisterScalableTarget": "", "PutScheduledAction": "ScheduledActions"},
    "ScalingPolicy": {"PutScalingPolicy": ""},
}
# What CloudFormation names if the template does not.
_GENERATED = {"ModelName", "EndpointConfigName", "EndpointName", "repositoryName", "name"}
_GENERATED |= {"ClientRequestToken"}
_SCALED = ("ResourceId", "ScalableDimension", "ServiceNamespace")  # by the id of a scalable target


def of_resource(kind: str, properties: Json) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield service, operation and request of each request that creates or updates a resource."""
    _, namespace, name = kind.split("::")
    service = SERVICES[namespace]
    scaled = dict(zip(_SCALED, str(properties.get("ScalingTargetId", "")).split("|"), strict=False))
    for operation, part in _OPERATIONS.get(name, {f"Create{name}": ""}).items():
        if operation not in model(service).operation_names:
            continue
        shape: Shape = model(service).operation_model(operation).input_shape
        parts = properties.get(part, []) if part else {}
        for item in parts if isinstance(parts, list) else [parts]:
            request = _shaped(shape, {**scaled, **properties, **item})
            generated = _GENERATED.intersection(shape.required_members)
            yield service, operation, dict.fromkeys(generated, "generated" * 4) | request


def _shaped(shape: Shape, value: Any) -> Any:
    """Name members as the API does, and convert text to the member's type where that is possible."""
    match shape.type_name, value:
        case "structure", Mapping():
            given = {lower_first(key): item for key, item in value.items()}
            members = shape.members.items()
            value = {
                name: _shaped(inner, given[lower_first(name)])
                for name, inner in members
                if lower_first(name) in given
            }
        case "list", list():
            value = [_shaped(shape.member, item) for item in value]
        case "map", list():  # tags
            value = {item["Key"]: item["Value"] for item in value}
        case "map", Mapping():
            value = {key: _shaped(shape.value, item) for key, item in value.items()}
        case "boolean", "true" | "false":
            value = value == "true"
        case "integer" | "long" | "float" | "double", str() if re.fullmatch(r"-?\d+(\.\d+)?", value):
            value = json.loads(value)
        case "string", {"PipelineDefinitionBody": str(body)}:
            value = body
        case "string", bool() | int() | float() | Mapping():
            value = json.dumps(value)
    return value


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    operations = [
        (name, model(service).operation_model(name).http) for name in model(service).operation_names
    ]
    paths = {name: re.escape(http["requestUri"].partition("?")[0]) for name, http in operations}
    regex = {name: re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", path) for name, path in paths.items()}
    return [(http["method"], re.compile(regex[name]), name) for name, http in operations]


def of_http(
    service: str, *, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Json
) -> tuple[str, dict[str, Any]]:
    """Return operation and request of a REST service, empty for other paths. Headers are in lower case."""
    for verb, pattern, operation in _routes(service):
        matched = pattern.fullmatch(path) if verb == method else None
        shape = model(service).operation_model(operation).input_shape if matched else None
        if matched and shape:
            payload = shape.serialization.get("payload")
            places: dict[str | None, Json] = {
                None: {} if payload else content(body),
                "uri": {key: unquote(value) for key, value in matched.groupdict().items()},
                "header": headers,
                "querystring": {key: values[0] for key, values in query.items()},
            }
            request = {payload: body} if payload else {}
            for member, inner in shape.members.items():
                place = inner.serialization.get("location")
                name = inner.serialization.get("name", member)
                found = places.get(place, {}).get(name.lower() if place == "header" else name)
                if found is not None:
                    request[member] = _shaped(inner, found) if place else found
            return operation, request
    return "", {}


def content(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body."""
    try:
        parsed = json.loads(body or b"{}")
    except ValueError as error:
        raise InvalidRequest("SerializationException", f"The body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest("SerializationException", "The body is not a JSON object.")
    return parsed
