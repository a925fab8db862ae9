"""API Gateway's own responses to requests that never reach the Lambda: problem documents (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

_Type = apigateway.ResponseType


@dataclass(frozen=True)
class Response:
    """The response of one type."""

    status: int
    title: str
    detail: str
    retry_after_s: int | None = None
    challenge: str | None = None  # for WWW-Authenticate, which RFC 9110 requires with every 401


_FORBIDDEN = Response(403, "Forbidden", "Access denied; ask the API's owner for access.")
_BAD = Response(400, "Bad Request", "This request is malformed.")
_BROKEN = Response(500, "Internal Server Error", "The gateway failed; try again later.")

# API Gateway's templates have no variable for the status that it sends, so each type gets a fixed status. A
# type without an entry would be answered in API Gateway's own form.
RESPONSES = {
    _Type.ACCESS_DENIED: _FORBIDDEN,
    _Type.API_CONFIGURATION_ERROR: _BROKEN,
    _Type.AUTHORIZER_CONFIGURATION_ERROR: _BROKEN,
    _Type.AUTHORIZER_FAILURE: _BROKEN,
    _Type.BAD_REQUEST_BODY: _BAD,
    _Type.BAD_REQUEST_PARAMETERS: _BAD,
    _Type.DEFAULT_4_XX: _FORBIDDEN,
    _Type.DEFAULT_5_XX: _BROKEN,
    _Type.EXPIRED_TOKEN: _FORBIDDEN,
    _Type.INTEGRATION_FAILURE: Response(
        502, "Bad Gateway", "The gateway's function failed; try again later."
    ),
    _Type.INTEGRATION_TIMEOUT: Response(504, "Gateway Timeout", "The answer took too long; try again."),
    _Type.INVALID_API_KEY: Response(403, "Forbidden", "Send a valid API key in the header x-api-key."),
    _Type.INVALID_SIGNATURE: _FORBIDDEN,
    _Type.MISSING_AUTHENTICATION_TOKEN: Response(403, "Forbidden", "Sign the request with AWS Signature 4."),
    _Type.QUOTA_EXCEEDED: Response(429, "Too Many Requests", "The quota is used up; try again later.", 3600),
    _Type.REQUEST_TOO_LARGE: Response(413, "Content Too Large", "Send an image of at most 4 MiB."),
    _Type.RESOURCE_NOT_FOUND: Response(404, "Not Found", "There is nothing here."),
    _Type.THROTTLED: Response(429, "Too Many Requests", "Wait a moment and try again.", retry_after_s=1),
    _Type.UNAUTHORIZED: Response(
        401,
        "Unauthorized",
        "Sign in, and send the access token as Authorization: Bearer.",
        challenge="Bearer",
    ),
    _Type.UNSUPPORTED_MEDIA_TYPE: Response(
        415, "Unsupported Media Type", "Send image/jpeg, image/png or multipart/form-data."
    ),
    _Type.WAF_FILTERED: Response(
        403,
        "Forbidden",
        "The firewall blocked this request: too many came from your address, or it resembles an attack. "
        "Wait five minutes.",
    ),
}


def add_gateway_responses(api: apigateway.RestApi, *, allowed_origin: str | None) -> None:
    """Make each of API Gateway's own errors a problem document, which pages of `allowed_origin` may read."""
    headers = {
        "Content-Type": "'application/problem+json'",
        "Cache-Control": "'no-store'",
        "X-Request-Id": "context.requestId",
    }
    if allowed_origin:
        headers["Access-Control-Allow-Origin"] = f"'{allowed_origin}'"
        headers["Access-Control-Expose-Headers"] = "'Retry-After, X-Request-Id'"
    for type_, response in RESPONSES.items():
        more = {"Retry-After": response.retry_after_s, "WWW-Authenticate": response.challenge}
        more["X-Error-Type"] = type_.response_type  # by which the page tells a wrong key from the firewall
        named = {name: f"'{value}'" for name, value in more.items() if value is not None}
        api.add_gateway_response(
            type_.response_type,
            type=type_,
            status_code=str(response.status),
            response_headers=headers | named,
            templates={"application/json": _template(response)},
        )


def _template(response: Response) -> str:
    return json.dumps(
        {
            "type": "about:blank",
            "title": response.title,
            "status": response.status,
            "detail": response.detail,
            "request_id": "$context.requestId",
        }
    )
