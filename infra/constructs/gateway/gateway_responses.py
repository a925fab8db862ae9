"""API Gateway's own responses to requests that never reach the Lambda: problem documents (RFC 9457)."""

from __future__ import annotations

import json

from aws_cdk import aws_apigateway as apigateway

from infra.lambdas.gateway.problems import MEDIA_TYPE, Problem

_Type = apigateway.ResponseType

_FORBIDDEN = Problem(403, "Access denied; ask the API's owner for access.")
_BAD = Problem(400, "This request is malformed.")
_BROKEN = Problem(500, "The gateway failed; try again later.")

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
    _Type.INTEGRATION_FAILURE: Problem(502, "The gateway's function failed; try again later."),
    _Type.INTEGRATION_TIMEOUT: Problem(504, "The answer took too long; try again."),
    _Type.INVALID_API_KEY: Problem(403, "Send a valid API key in the header x-api-key."),
    _Type.INVALID_SIGNATURE: _FORBIDDEN,
    _Type.MISSING_AUTHENTICATION_TOKEN: Problem(403, "Sign the request with AWS Signature 4."),
    _Type.QUOTA_EXCEEDED: Problem(
        429, "The quota is used up; try again later.", headers={"Retry-After": "3600"}
    ),
    _Type.REQUEST_TOO_LARGE: Problem(413, "Send an image of at most 4 MiB."),
    _Type.RESOURCE_NOT_FOUND: Problem(404, "There is nothing here."),
    _Type.THROTTLED: Problem(429, "Wait a moment and try again.", headers={"Retry-After": "1"}),
    _Type.UNAUTHORIZED: Problem(
        401,
        "Sign in, and send the access token as Authorization: Bearer.",
        headers={"WWW-Authenticate": "Bearer"},  # which RFC 9110 requires with every 401
    ),
    _Type.UNSUPPORTED_MEDIA_TYPE: Problem(
        415, "Send image/jpeg, image/png, application/dicom or multipart/form-data."
    ),
    _Type.WAF_FILTERED: Problem(
        403,
        "The firewall blocked this request: too many came from your address, or it resembles an attack. "
        "Wait five minutes.",
    ),
}


def add_gateway_responses(api: apigateway.RestApi, *, allowed_origin: str | None) -> None:
    """Make each of API Gateway's own errors a problem document, which pages of `allowed_origin` may read."""
    headers = {
        "Content-Type": f"'{MEDIA_TYPE}'",
        "Cache-Control": "'no-store'",
        "X-Request-Id": "context.requestId",
    }
    if allowed_origin:
        headers["Access-Control-Allow-Origin"] = f"'{allowed_origin}'"
        headers["Access-Control-Expose-Headers"] = "'Retry-After, X-Request-Id'"
    for type_, problem in RESPONSES.items():
        # By this type the page tells a wrong key from the firewall.
        more = {**problem.headers, "X-Error-Type": type_.response_type}
        api.add_gateway_response(
            type_.response_type,
            type=type_,
            status_code=str(problem.status),
            response_headers=headers | {name: f"'{value}'" for name, value in more.items()},
            templates={"application/json": json.dumps(problem.document(request_id="$context.requestId"))},
        )
