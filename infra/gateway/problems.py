"""What went wrong, told to people and programs as an RFC 9457 problem document."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"

# RFC 9110's phrases: Python's own (http.HTTPStatus) differ between the versions that this runs on.
TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Problem(Exception):  # noqa: N818 - RFC 9457's own name for it
    """A request that cannot be answered, and why.

    Parameters
    ----------
    status
        The HTTP status, one of `TITLES`.
    detail
        What is wrong and what to do instead, for a person.
    headers
        What the status asks to be sent along, such as `Allow` with 405 or `Retry-After` with 503.
    cause
        What the log should say besides; never sent.
    extensions
        Further members of the problem (RFC 9457, 3.2), for programs to read.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        cause: str | None = None,
        extensions: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.cause = cause
        self.extensions = extensions or {}

    def document(self, *, request_id: str) -> dict[str, object]:
        """Return the problem's members as they are sent; the status says what type of problem it is."""
        return {
            "type": "about:blank",
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            **self.extensions,
            "request_id": request_id,
        }
