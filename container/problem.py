"""The one way in which this container refuses a request: a problem (RFC 9457)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457's own name for it
    """A request that is answered with an error.

    Parameters
    ----------
    status
        The HTTP status of the answer.
    detail
        What is wrong with this request and what to send instead, for a person to read.
    headers
        What the status asks to be sent along, such as ``Allow`` with 405.
    extensions
        Further members of the problem (RFC 9457, 3.2), for programs to read.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        extensions: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = status.phrase  # RFC 9457: a problem of type about:blank is titled like its status
        self.detail = detail
        self.headers = headers or {}
        self.extensions = extensions or {}

    def body(self) -> bytes:
        """Return the problem as JSON, to be sent as `MEDIA_TYPE`."""
        fields = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status.value,
            "detail": self.detail,
            **self.extensions,
        }
        return json.dumps(fields, ensure_ascii=False).encode()
