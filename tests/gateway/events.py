"""API Gateway's proxy events: the two files in events/, and the same shape for any HTTP request."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

from infra.lambdas.gateway.upload import FORM_TYPE, IMAGE_TYPES, OTHER_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.lambdas.gateway.proxy import Event

FOLDER = Path(__file__).parent / "events"
BOUNDARY = "----d74496d66958873e"


def event(
    name: str,
    *,
    method: str | None = None,
    path: str | None = None,
    headers: Mapping[str, str | None] | None = None,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Event:
    """Return the event in `events/<name>.json` with some of it changed; a header of None is left out."""
    loaded: Event = json.loads((FOLDER / f"{name}.json").read_text())
    if method is not None:
        loaded["httpMethod"] = method
    if path is not None:
        loaded["resource"] = "/" if path == "/" else "/{proxy+}"
        loaded["pathParameters"] = None if path == "/" else {"proxy": path.removeprefix("/")}
    if headers is not None:
        changed = {**(loaded["headers"] or {}), **headers}
        loaded["headers"] = {key: value for key, value in changed.items() if value is not None}
    if query is not None:
        loaded["queryStringParameters"] = dict(query)
    if body is not None:
        loaded["body"] = base64.b64encode(body).decode() if body else None
        loaded["isBase64Encoded"] = bool(body)
    return loaded


def event_of(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> Event:
    """Return the event that API Gateway makes of an HTTP request, with its list of binary media types."""
    media_type = headers.get("content-type", "").partition(";")[0]
    made = event("get_page", method=method, path=path, query=query, headers=headers)
    if media_type in (*IMAGE_TYPES, *OTHER_NAMES, FORM_TYPE):
        return event("get_page", method=method, path=path, query=query, headers=headers, body=body)
    made["body"] = body.decode("utf-8", "replace") or None
    return made


def form(*parts: tuple[str, bytes], boundary: str = BOUNDARY, closed: bool = True) -> bytes:
    """Return a multipart/form-data body of files by their parts' names."""
    body = b""
    for name, content in parts:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="scan.jpg"'
        body += (
            f"--{boundary}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + content + b"\r\n"
        )
    return body + (f"--{boundary}--\r\n".encode() if closed else b"")


def form_type() -> dict[str, str]:
    """Return the Content-Type header of such a form."""
    return {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
