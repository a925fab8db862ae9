"""SageMaker's two HTTP APIs: its control plane and its runtime.

- ``POST /`` with ``X-Amz-Target: SageMaker.<Action>``:
  https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
- ``POST /endpoints/<name>/invocations`` and ``async-invocations``:
  https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from infra.emulator.ministack_patches import iam
from infra.emulator.ministack_patches.app import Answer, account_id, region
from infra.emulator.sagemaker.async_inference import AsyncEndpoint
from infra.emulator.sagemaker.pipelines import PIPELINE
from infra.emulator.sagemaker.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Resource,
    Store,
    T,
    production_variant,
)
from infra.emulator.sagemaker.service import SageMaker
from infra.emulator.sagemaker.transform import TRANSFORM_JOB
from infra.emulator.validation.requests import content, of_http
from infra.emulator.validation.rules import Json
from infra.emulator.validation.shapes import InvalidRequest, validate
from infra.names import endpoint_log_group

if TYPE_CHECKING:
    from infra.emulator.sagemaker.endpoints import Endpoint
    from infra.emulator.sagemaker.launcher import Running

_Action = Callable[[SageMaker, Json], dict[str, object]]
_CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET_PREFIX = "SageMaker."
MODEL_TIMEOUT_S = 60  # for one answer of the container
# docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html and hosting-faqs.html
_SERVERLESS_MAX_BODY = 4 * 1024 * 1024
_REAL_TIME_MAX_BODY = 25 * 1024 * 1024
_RUNTIME = "sagemaker-runtime"
_RUNTIME_TYPE = "application/json"
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_INFERENCE_ID = "x-amzn-sagemaker-inference-id"
_FORWARDED = ("content-type", "accept", _ATTRIBUTES)


def answer(sagemaker: SageMaker, headers: Mapping[str, str], body: bytes) -> Answer:
    """Answer one request of the control plane; header names are in lower case."""
    target = headers.get("x-amz-target", "")
    name = target.removeprefix(TARGET_PREFIX)
    try:
        action = _ACTIONS.get(name)
        if action is None:
            raise InvalidRequest("UnknownOperationException", f"The emulated SageMaker has no {target}.")
        parameters = content(body)
        for permission in (name, *(["AddTags"] if parameters.get("Tags") else [])):
            if reason := iam.denial(f"sagemaker:{permission}", _resource(name, parameters), headers):
                raise InvalidRequest("AccessDeniedException", reason)
        validate("sagemaker", name, parameters)
        return 200, {"Content-Type": _CONTENT_TYPE}, json.dumps(action(sagemaker, parameters)).encode()
    except InvalidRequest as error:
        return error_answer(error, content_type=_CONTENT_TYPE)


def error_answer(error: InvalidRequest, *, content_type: str) -> Answer:
    """Return an error as SDKs expect it: its name in body and header, its message in both spellings."""
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
    headers = {"Content-Type": content_type, "x-amzn-ErrorType": error.code}
    return error.status, headers, json.dumps(body).encode()


def _resource(action: str, parameters: Json) -> str:
    """Return the ARN that an action's permission is checked for; lists take no resource."""
    if execution := parameters.get("PipelineExecutionArn"):
        return str(execution)
    for kind in (MODEL, ENDPOINT_CONFIG, ENDPOINT, TRANSFORM_JOB, PIPELINE):
        if action.removesuffix("Execution").endswith(kind.member):
            return kind.arn(str(parameters.get(kind.name_member)))
    return "*"


def _arn(resource: Resource) -> dict[str, object]:
    return {f"{resource.type.member}Arn": resource.arn}


def _describe(store: Store[T], request: Json) -> dict[str, object]:
    resource = store.get(request[store.type.name_member])
    described = {key: value for key, value in resource.properties.items() if key != "Tags"}
    return described | resource.summary()


def _delete(store: Store[Resource], request: Json) -> dict[str, object]:
    store.remove(request[store.type.name_member])
    return {}


def _list(store: Store[T], request: Json, *, suffix: str = "s") -> dict[str, object]:
    """List on one page, which an SDK's paginator takes for the last, the newest first."""
    wanted, status = request.get("NameContains", "").lower(), request.get("StatusEquals")
    found = [each for each in store.all() if wanted in each.name.lower()]
    return {
        f"{store.type.member}{suffix}": [
            each.summary() for each in found if status in (None, getattr(each, "status", None))
        ]
    }


def _describe_endpoint(sagemaker: SageMaker, request: Json) -> dict[str, object]:
    endpoint = sagemaker.endpoints.get(request["EndpointName"])
    running = endpoint.running
    shadow = running.shadow.running if running and running.shadow else None
    optional = {
        "LastDeploymentConfig": endpoint.deployment_config,
        "FailureReason": endpoint.failure_reason,
        "ProductionVariants": _describe_variants(endpoint, running),
        "ShadowProductionVariants": _describe_variants(endpoint, shadow),
    }
    present = {name: value for name, value in optional.items() if value}
    return endpoint.summary() | {"EndpointConfigName": endpoint.config.name} | present


def _describe_variants(endpoint: Endpoint, running: Running | None) -> list[dict[str, object]]:
    """Describe what serves; ``ResolvedImage`` is what runs: the image's digest, or the process."""
    if running is None:
        return []
    image = {"SpecifiedImage": running.variant.image, "ResolvedImage": running.image}
    variant: dict[str, object] = {"VariantName": running.variant.name, "DeployedImages": [image]}
    if running.variant.serverless:
        declared = production_variant(endpoint.config.properties)
        return [variant | {"CurrentServerlessConfig": declared["ServerlessConfig"]}]
    scaled = endpoint.instance_count if running is endpoint.running else None
    count, weight = running.variant.instances if scaled is None else scaled, running.variant.weight
    sizes = {"CurrentInstanceCount": count, "DesiredInstanceCount": count}
    return [variant | sizes | {"CurrentWeight": weight, "DesiredWeight": weight}]


def _delete_endpoint(sagemaker: SageMaker, request: Json) -> dict[str, object]:
    sagemaker.delete_endpoint(request["EndpointName"])
    return {}


_ACTIONS: dict[str, _Action] = {
    "CreateModel": lambda sagemaker, given: _arn(sagemaker.create_model(given)),
    "DescribeModel": lambda sagemaker, given: _describe(sagemaker.models, given),
    "ListModels": lambda sagemaker, given: _list(sagemaker.models, given),
    "DeleteModel": lambda sagemaker, given: _delete(sagemaker.models, given),
    "CreateEndpointConfig": lambda sagemaker, given: _arn(sagemaker.create_endpoint_config(given)),
    "DescribeEndpointConfig": lambda sagemaker, given: _describe(sagemaker.configs, given),
    "ListEndpointConfigs": lambda sagemaker, given: _list(sagemaker.configs, given),
    "DeleteEndpointConfig": lambda sagemaker, given: _delete(sagemaker.configs, given),
    "CreateEndpoint": lambda sagemaker, given: _arn(sagemaker.create_endpoint(given)),
    "UpdateEndpoint": lambda sagemaker, given: _arn(sagemaker.update_endpoint(given)),
    "UpdateEndpointWeightsAndCapacities": lambda sagemaker, given: _arn(sagemaker.update_capacity(given)),
    "DescribeEndpoint": _describe_endpoint,
    "ListEndpoints": lambda sagemaker, given: _list(sagemaker.endpoints, given),
    "DeleteEndpoint": _delete_endpoint,
    "CreateTransformJob": lambda sagemaker, given: _arn(sagemaker.create_transform_job(given)),
    "DescribeTransformJob": lambda sagemaker, given: _describe(sagemaker.transform_jobs, given),
    "ListTransformJobs": lambda sagemaker, given: _list(sagemaker.transform_jobs, given, suffix="Summaries"),
    "StopTransformJob": lambda sagemaker, given: sagemaker.transform_jobs.get(
        given["TransformJobName"]
    ).stop(),
    "StartPipelineExecution": lambda sagemaker, given: _arn(sagemaker.start_pipeline(given)),
    "DescribePipelineExecution": lambda sagemaker, given: sagemaker.execution(given).describe(),
    "ListPipelineExecutionSteps": lambda sagemaker, given: sagemaker.execution(given).steps(),
    "StopPipelineExecution": lambda sagemaker, given: sagemaker.execution(given).stop(),
}


def invoke(endpoints: Store[Endpoint], path: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    """Have an endpoint's variant answer one request, or queue it; header names are in lower case."""
    operation, request = of_http(_RUNTIME, method="POST", path=path, headers=headers, body=body, query={})
    try:
        if operation not in ("InvokeEndpoint", "InvokeEndpointAsync"):
            raise InvalidRequest("UnknownOperationException", f"The emulated SageMaker has no {path}.")
        name = request["EndpointName"]
        if reason := iam.denial(f"sagemaker:{operation}", ENDPOINT.arn(name), headers):
            raise InvalidRequest("AccessDeniedException", reason, status=HTTPStatus.FORBIDDEN)
        validate(_RUNTIME, operation, request)
        endpoint = endpoints.get(name)
        queued = isinstance(endpoint, AsyncEndpoint)
        if queued != (operation == "InvokeEndpointAsync"):
            kind = "configured" if queued else "not configured"
            raise InvalidRequest("ValidationError", f"Endpoint {name} is {kind} for asynchronous inference.")
        if isinstance(endpoint, AsyncEndpoint):
            return endpoint.put(request)
        with endpoint.answering() as running:
            _check_size(running, body)
            try:
                return _forward(running, name, headers=headers, body=body)
            finally:
                if shadow := running.shadow:
                    copy = partial(_forward, shadow.running, name, headers=headers, body=body)
                    shadow.copy(copy)
    except (LookupError, InvalidRequest) as error:
        if isinstance(error, InvalidRequest) and error.code != "ValidationException":
            return error_answer(error, content_type=_RUNTIME_TYPE)
        # The runtime's own name for it, whether the endpoint is missing or not ready.
        missing = InvalidRequest("ValidationError", f"Endpoint {name} of account {account_id()} not found.")
        return error_answer(missing, content_type=_RUNTIME_TYPE)


def _check_size(running: Running, body: bytes) -> None:
    if len(body) > _SERVERLESS_MAX_BODY and running.variant.serverless:
        raise InvalidRequest("ValidationError", f"Request {uuid.uuid4()} has oversize body.")
    if len(body) > _REAL_TIME_MAX_BODY:
        message = f"HTTP content length exceeded {_REAL_TIME_MAX_BODY} bytes."
        raise InvalidRequest("413", message, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _forward(running: Running, name: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    forwarded = {key: headers[key] for key in _FORWARDED if key in headers}
    try:
        response, content = running.invoke(name, body, forwarded, timeout_s=MODEL_TIMEOUT_S)
    except TimeoutError as error:
        message = "Your invocation timed out while waiting for a response from container primary."
        raise _model_error(name, status=0, message=message) from error
    except (OSError, http.client.HTTPException) as error:
        message = f"The container of endpoint {name} does not answer: {error}"
        raise InvalidRequest("ServiceUnavailable", message, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
    if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _model_error(name, status=response.status, message=content.decode(errors="replace"))
    if running.capture:
        running.capture.add(
            {
                "Input": (headers.get("content-type", ""), body),
                "Output": (response.getheader("content-type", ""), content),
            },
            inference_id=headers.get(_INFERENCE_ID),
            attributes=headers.get(_ATTRIBUTES),
        )
    answered = {"x-Amzn-Invoked-Production-Variant": running.variant.name}
    for key in ("content-type", _ATTRIBUTES):
        if value := response.getheader(key):
            answered[key] = value
    return response.status, answered, content


def _model_error(name: str, *, status: int, message: str) -> InvalidRequest:
    """Return the error that carries a container's own answer when it is not a success."""
    side = "client" if 400 <= status < 500 else "server"  # noqa: PLR2004 - HTTP's own classes
    group = endpoint_log_group(name)
    console = f"https://{region()}.console.aws.amazon.com/cloudwatch/home?region={region()}"
    members = {
        "OriginalStatusCode": status,
        "OriginalMessage": message,
        "LogStreamArn": f"arn:aws:logs:{region()}:{account_id()}:log-group:{group}",
    }
    text = (
        f'Received {side} error ({status}) from primary with message "{message}". '
        f"See {console}#logEventViewer:group={group} in account {account_id()} for more information."
    )
    return InvalidRequest("ModelError", text, status=HTTPStatus.FAILED_DEPENDENCY, members=members)
