"""What ministack's API Gateway lacks: size limits, compression, its own word on failures, APIs' OPTIONS."""

from __future__ import annotations

import gzip
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from ministack import app as ministack
from ministack.services import apigateway_v1 as gateway

if TYPE_CHECKING:
    from collections.abc import Mapping

Answer = tuple[int, dict[str, str], bytes | str]

# docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
GATEWAY_MAX_BODY = 10_485_760
# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: of the event, with the body in base64
LAMBDA_MAX_EVENT = 6_291_456

_TOO_LARGE = ("REQUEST_TOO_LARGE", f"HTTP content length exceeded {GATEWAY_MAX_BODY} bytes.")


class _GatewayError(Exception):
    """Carries a gateway's own answer out of the integration to where ministack renders it."""

    def __init__(self, response_type: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.error = gateway._gw_error(response_type, message)
        self.status = status


def complete() -> None:
    """Add the missing answers; each is rendered by the API's own gateway responses."""
    execute = gateway._execute_in_scope
    call_lambda = gateway._call_lambda_raw
    shape = gateway._lambda_proxy_response

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
        least = gateway._rest_apis[api_id].get("minimumCompressionSize")
        return _compressed(cast("Answer", answer), cast("Mapping[str, str]", headers), least=least)

    async def call_lambda_within_limit(function: str, event: object, **scope: object) -> object:
        if len(json.dumps(event)) > LAMBDA_MAX_EVENT:
            raise _GatewayError(*_TOO_LARGE)
        return await call_lambda(function, event, **scope)

    def answer_without_traces(result: object) -> object:
        answer, failure = shape(result)
        if failure:  # ministack would send the exception's own text
            raise _GatewayError("DEFAULT_5XX", "Internal server error", status=HTTPStatus.BAD_GATEWAY)
        return answer, None

    answer_options = ministack._handle_options_request

    def leave_options_to_apis(method: str, path: str, headers: dict[str, str], *call: object) -> object:
        """Ministack would let every page call every API, whatever that API says."""
        if ministack._parse_execute_api_url(headers.get("host", ""), path):
            return None
        return answer_options(method, path, headers, *call)

    gateway._execute_in_scope = execute_within_limits
    gateway._call_lambda_raw = call_lambda_within_limit
    gateway._lambda_proxy_response = answer_without_traces
    ministack._handle_options_request = leave_options_to_apis


def _compressed(answer: Answer, asked: Mapping[str, str], *, least: int | None) -> Answer:
    """Return an answer as whoever takes gzip gets it, where the API compresses from `least` bytes on."""
    status, headers, body = answer
    content = body.encode() if isinstance(body, str) else body
    accepted = next((value for name, value in asked.items() if name.lower() == "accept-encoding"), "")
    codings = {coding.partition(";")[0].strip().lower() for coding in accepted.split(",")}
    if least is None or len(content) < least or "gzip" not in codings:
        return answer
    kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    return status, {**kept, "Content-Encoding": "gzip"}, gzip.compress(content, mtime=0)
