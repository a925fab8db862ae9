"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"

STATUSES = (400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504)
# RFC 9110's phrases; Python's own for two of them differ between versions.
NEW_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
TITLES = {status: HTTPStatus(status).phrase for status in STATUSES} | NEW_TITLES


class Problem(Exception):  # noqa: N818 - RFC 9457's own name
    """A request that cannot be answered: its status, one of `TITLES`, what is wrong and how to correct it.

    `headers` and `extensions` (further members, RFC 9457, 3.2) are sent; `cause` is for the log only.
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
        """Return the problem's members; the status alone identifies the type of the problem."""
        return {
            "type": "about:blank",
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            **self.extensions,
            "request_id": request_id,
        }
