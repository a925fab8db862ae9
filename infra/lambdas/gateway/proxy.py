"""API Gateway's Lambda proxy integration, payload format 1.0: an event in, an envelope out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .metrics import Outcome


# W3C trace context, www.w3.org/TR/trace-context: version, trace, parent and flags. Anything else is ignored.
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Event(TypedDict, total=False):
    """The members of a proxy event that are used; null stands for what a request lacks."""

    resource: str
    httpMethod: str
    pathParameters: dict[str, str] | None
    queryStringParameters: dict[str, str] | None
    headers: dict[str, str] | None
    body: str | None
    isBase64Encoded: bool
    requestContext: dict[str, str]


class Envelope(TypedDict):
    """The form of an answer that API Gateway expects."""

    statusCode: int
    headers: dict[str, str]
    body: str
    isBase64Encoded: bool


@dataclass(frozen=True)
class Request:
    """An HTTP request; `path` begins below the stage."""

    id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: str
    body_is_base64: bool

    @classmethod
    def from_event(cls, event: Event) -> Request:
        """Return the request in a proxy event."""
        # The event's own `path` includes a custom domain's base path; the resource never does.
        parameters = event.get("pathParameters") or {}
        path = event.get("resource", "/").replace("{proxy+}", parameters.get("proxy", ""))
        return cls(
            id=event.get("requestContext", {}).get("requestId", ""),
            method=event.get("httpMethod", "GET"),
            path=path,
            query=event.get("queryStringParameters") or {},
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            body=event.get("body") or "",
            body_is_base64=event.get("isBase64Encoded", False),
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
