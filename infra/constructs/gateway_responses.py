"""What API Gateway itself answers when a request never reaches the Lambda: problem documents (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

_Type = apigateway.ResponseType


@dataclass(frozen=True)
class Answer:
    """One type's answer."""

    status: int
    title: str
    detail: str
    retry_after_s: int | None = None
    challenge: str | None = None  # of WWW-Authenticate, which RFC 9110 asks of every 401


_NOT_LET_IN = Answer(403, "Forbidden", "This request is not let in; the API's owner says who is.")
_BAD = Answer(400, "Bad Request", "This request is malformed.")
_BROKEN = Answer(500, "Internal Server Error", "The gateway failed; try again later.")

# API Gateway fills its templates by plain substitution and has no variable for the status that it sends,
# so each type gets a status of ours. One without an entry would answer in API Gateway's own form.
ANSWERS = {
    _Type.ACCESS_DENIED: _NOT_LET_IN,
    _Type.API_CONFIGURATION_ERROR: _BROKEN,
    _Type.AUTHORIZER_CONFIGURATION_ERROR: _BROKEN,
    _Type.AUTHORIZER_FAILURE: _BROKEN,
    _Type.BAD_REQUEST_BODY: _BAD,
    _Type.BAD_REQUEST_PARAMETERS: _BAD,
    _Type.DEFAULT_4_XX: _NOT_LET_IN,
    _Type.DEFAULT_5_XX: _BROKEN,
    _Type.EXPIRED_TOKEN: _NOT_LET_IN,
    _Type.INTEGRATION_FAILURE: Answer(502, "Bad Gateway", "The gateway's function failed; try again later."),
    _Type.INTEGRATION_TIMEOUT: Answer(504, "Gateway Timeout", "The answer took too long; try again."),
    _Type.INVALID_API_KEY: Answer(403, "Forbidden", "Send a valid API key in the header x-api-key."),
    _Type.INVALID_SIGNATURE: _NOT_LET_IN,
    _Type.MISSING_AUTHENTICATION_TOKEN: Answer(403, "Forbidden", "Sign the request with AWS Signature 4."),
    _Type.QUOTA_EXCEEDED: Answer(429, "Too Many Requests", "The quota is used up; try again later.", 3600),
    _Type.REQUEST_TOO_LARGE: Answer(413, "Content Too Large", "Send an image of at most 4 MiB."),
    _Type.RESOURCE_NOT_FOUND: Answer(404, "Not Found", "There is nothing here."),
    _Type.THROTTLED: Answer(429, "Too Many Requests", "Wait a moment and try again.", retry_after_s=1),
    _Type.UNAUTHORIZED: Answer(
        401,
        "Unauthorized",
        "Sign in, and send the access token as Authorization: Bearer.",
        challenge="Bearer",
    ),
    _Type.UNSUPPORTED_MEDIA_TYPE: Answer(
        415, "Unsupported Media Type", "Send image/jpeg, image/png or multipart/form-data."
    ),
    _Type.WAF_FILTERED: Answer(
        403,
        "Forbidden",
        "The firewall stopped this: too much came from this address, or it looks like an attack. "
        "Wait five minutes.",
    ),
}


def add_gateway_responses(api: apigateway.RestApi, *, allowed_origin: str | None) -> None:
    """Make every error of API Gateway's own a problem document.

    Parameters
    ----------
    api
        The API.
    allowed_origin
        The one other origin whose pages may read the answers; errors need its header as much as answers do.
    """
    headers = {
        "Content-Type": "'application/problem+json'",
        "Cache-Control": "'no-store'",
        "X-Request-Id": "context.requestId",
    }
    if allowed_origin:
        headers["Access-Control-Allow-Origin"] = f"'{allowed_origin}'"
        headers["Access-Control-Expose-Headers"] = "'Retry-After, X-Request-Id'"
    for type_, answer in ANSWERS.items():
        more = {"Retry-After": answer.retry_after_s, "WWW-Authenticate": answer.challenge}
        named = {name: f"'{value}'" for name, value in more.items() if value is not None}
        api.add_gateway_response(
            type_.response_type,
            type=type_,
            status_code=str(answer.status),
            response_headers=headers | named,
            templates={"application/json": _template(answer)},
        )


def _template(answer: Answer) -> str:
    return json.dumps(
        {
            "type": "about:blank",
            "title": answer.title,
            "status": answer.status,
            "detail": answer.detail,
            "request_id": "$context.requestId",
        }
    )
