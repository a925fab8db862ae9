"""What ministack's API Gateway lacks: limits, compression, answers to failures, own OPTIONS, ids of keys."""

from __future__ import annotations

import gzip
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from ministack import app
from ministack.services import apigateway_v1 as gateway

from infra.emulator.ministack_patches.cloudformation import Properties, ResourceError, check_type

if TYPE_CHECKING:
    from collections.abc import Mapping

_Answer = tuple[int, dict[str, str], bytes | str]

# docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
GATEWAY_MAX_BODY = 10_485_760
# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: of the event, with the body in base64
LAMBDA_MAX_EVENT = 6_291_456

_TOO_LARGE = ("REQUEST_TOO_LARGE", f"HTTP content length exceeded {GATEWAY_MAX_BODY} bytes.")


class _GatewayError(Exception):
    """Carries an answer of the gateway's own out of the integration to where ministack renders it."""

    def __init__(self, response_type: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.error = gateway._gw_error(response_type, message)
        self.status = status


def patch() -> None:
    """Add the missing answers; each is rendered by the API's own gateway responses."""
    execute = gateway._execute_in_scope
    call_lambda = gateway._call_lambda_raw
    proxy_response = gateway._lambda_proxy_response
    answer_options = app._handle_options_request

    async def execute_within_limits(request: dict[str, object], *call: object) -> object:
        api_id, stage_name, _method, _path, headers, body, *_ = call
        stage = gateway._stages_v1.get(api_id, {}).get(stage_name)
        if stage and isinstance(body, bytes) and len(body) > GATEWAY_MAX_BODY:
            request["stage"] = stage
            return gateway._gw_error(*_TOO_LARGE)
        try:
            answer = await execute(request, *call)
        except _GatewayError as error:
            status, *rest = gateway._gateway_error_response(error.error, request)
            return error.status or status, *rest
        if not isinstance(answer, tuple):  # an error of the gateway's own, which is rendered later
            return answer
        minimum = gateway._rest_apis[api_id].get("minimumCompressionSize")
        return _compressed(cast("_Answer", answer), cast("Mapping[str, str]", headers), minimum=minimum)

    async def call_lambda_within_limit(function: str, event: object, **scope: object) -> object:
        if len(json.dumps(event)) > LAMBDA_MAX_EVENT:
            raise _GatewayError(*_TOO_LARGE)
        return await call_lambda(function, event, **scope)

    def answer_without_traces(result: object) -> object:
        answer, failure = proxy_response(result)
        if failure:  # ministack would send the exception's own text
            raise _GatewayError("DEFAULT_5XX", "Internal server error", status=HTTPStatus.BAD_GATEWAY)
        return answer, None

    def leave_options_to_apis(method: str, path: str, headers: dict[str, str], *call: object) -> object:
        """Let an API answer for itself; ministack would allow every page to call it."""
        if app._parse_execute_api_url(headers.get("host", ""), path):
            return None
        return answer_options(method, path, headers, *call)

    gateway._execute_in_scope = execute_within_limits
    gateway._call_lambda_raw = call_lambda_within_limit
    gateway._lambda_proxy_response = answer_without_traces
    app._handle_options_request = leave_options_to_apis
    check_type("AWS::ApiGateway::Stage", _check_log_role)
    _add_ids_of_keys()


def _add_ids_of_keys() -> None:
    build_event = gateway._build_lambda_event_v1

    def event_with_key_id(*call: Any, **context: object) -> object:
        """Name the API key of a method that requires one, as AWS does in the event's identity."""
        event = build_event(*call, **context)
        _api, _stage, _settings, resource, _path, method, headers, *_ = call
        key = gateway._resolve_api_key(gateway._api_key_from_request(headers))
        if key and resource["resourceMethods"].get(method, {}).get("apiKeyRequired"):
            event["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    gateway._build_lambda_event_v1 = event_with_key_id


def _check_log_role(properties: Properties) -> None:
    """Refuse a stage's logs where the region has no role for them."""
    levels = {each.get("LoggingLevel", "OFF") for each in properties.get("MethodSettings", [])}
    logs = properties.get("AccessLogSetting") or levels - {"OFF"}
    if logs and not gateway._account_settings.get("settings", {}).get("cloudwatchRoleArn"):
        raise ResourceError(
            "CloudWatch Logs role ARN must be set in account settings to enable logging (BadRequestException)"
        )


def _compressed(answer: _Answer, request_headers: Mapping[str, str], *, minimum: int | None) -> _Answer:
    """Compress an answer of at least `minimum` bytes, if any, for a client that accepts gzip."""
    status, headers, body = answer
    content = body.encode() if isinstance(body, str) else body
    lower = {name.lower(): value for name, value in request_headers.items()}
    codings = {
        coding.partition(";")[0].strip().lower() for coding in lower.get("accept-encoding", "").split(",")
    }
    if minimum is None or len(content) < minimum or "gzip" not in codings:
        return answer
    kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    return status, {**kept, "Content-Encoding": "gzip"}, gzip.compress(content, mtime=0)
