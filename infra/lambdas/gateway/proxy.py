"""API Gateway's Lambda proxy integration, payload format 1.0: an event in, an envelope out."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .metrics import Outcome


# What may become part of headers and keys. API Gateway's own ids are UUIDs, but a caller can override them:
# docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
REQUEST_ID = re.compile("[A-Za-z0-9-]{1,51}")
# W3C trace context, www.w3.org/TR/trace-context: version, trace, parent and flags. Anything else is ignored.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Context(TypedDict, total=False):
    """The members of a request's context that are used; who called depends on the auth mode."""

    requestId: str
    identity: dict[str, str | None]
    authorizer: dict[str, dict[str, str]] | None


class Event(TypedDict, total=False):
    """The members of a proxy event that are used; null stands for what a request lacks."""

    resource: str
    httpMethod: str
    pathParameters: dict[str, str] | None
    queryStringParameters: dict[str, str] | None
    headers: dict[str, str] | None
    body: str | None
    isBase64Encoded: bool
    requestContext: Context


class Envelope(TypedDict):
    """The form of an answer that API Gateway expects."""

    statusCode: int
    headers: dict[str, str]
    body: str
    isBase64Encoded: bool


@dataclass(frozen=True)
class Request:
    """An HTTP request; `path` begins below the stage, `caller` is the id of a person, a key or a role."""

    id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: str
    body_is_base64: bool
    caller: str | None

    @classmethod
    def from_event(cls, event: Event) -> Request:
        """Return the request in a proxy event."""
        # The event's own `path` includes a custom domain's base path; the resource never does.
        parameters = event.get("pathParameters") or {}
        path = event.get("resource", "/").replace("{proxy+}", parameters.get("proxy", ""))
        context = event.get("requestContext", {})
        given, identity = context.get("requestId") or "", context.get("identity") or {}
        claims = (context.get("authorizer") or {}).get("claims") or {}
        return cls(
            id=given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4()),
            method=event.get("httpMethod", "GET"),
            path=path,
            query=event.get("queryStringParameters") or {},
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            body=event.get("body") or "",
            body_is_base64=event.get("isBase64Encoded", False),
            caller=claims.get("sub") or identity.get("apiKeyId") or identity.get("userArn"),
        )

    @property
    def media_type(self) -> str:
        """The body's media type, in lower case and without parameters; empty if none is given."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def traceparent(self) -> str | None:
        """The trace that this request belongs to, if its sender named a valid one."""
        given = self.headers.get("traceparent", "").strip()
        return given if TRACEPARENT.fullmatch(given) else None


@dataclass(frozen=True)
class Response:
    """An HTTP response; if an image was classified or refused, also the metric and what is watched of it."""

    status: int
    media_type: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None
    watched: Mapping[str, object] | None = None

    def envelope(self) -> Envelope:
        """Return the response in the form that API Gateway expects: text, which it compresses."""
        content = {"Content-Type": self.media_type} if self.media_type else {}
        return {
            "statusCode": self.status,
            "headers": {**content, **self.headers},
            "body": self.body,
            "isBase64Encoded": False,
        }
