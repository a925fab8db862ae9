"""The Lambda's environment as a typed model, read once at cold start.

The stack that deploys this code writes it, of settings that are checked at synth: it is not checked again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")
Mode = Literal["none", "api_key", "iam", "cognito"]
"""How callers authenticate. API Gateway enforces it; the Lambda needs it for the page and for CORS."""


@dataclass(frozen=True)
class Model:
    """The model behind the endpoint, as its release record names it."""

    name: str
    version: str
    sha256: str
    kind: str  # of its training data: "images" or "phantom"
    gates_failed: Sequence[str]
    forced: str | None = None  # why it serves although a gate failed


@dataclass(frozen=True)
class SignIn:
    """Where people sign in: an origin, the page's client id there, and the scope that it requests."""

    address: str
    client_id: str
    scope: str


@dataclass(frozen=True)
class Settings:
    """The function's configuration."""

    endpoint_name: str
    model: Model
    auth: Mode
    sign_in: SignIn | None  # with cognito
    allowed_origin: str | None
    request_id_key: str | None  # the secret with the key of the check in request ids; for either bucket
    label_bucket: str | None  # where labels are taken
    async_bucket: str | None  # where predictions are answered later


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raises KeyError, TypeError or ValueError where one is left out."""
    if ("REQUEST_ID_KEY" in environ) != ("LABEL_BUCKET" in environ or "ASYNC_BUCKET" in environ):
        raise ValueError(
            "REQUEST_ID_KEY belongs to LABEL_BUCKET or ASYNC_BUCKET: set it with one, or neither"
        )
    auth = cast("Mode", environ["AUTH"])
    return Settings(
        endpoint_name=environ["ENDPOINT_NAME"],
        model=_members(Model, environ["MODEL"]),
        auth=auth,
        sign_in=_members(SignIn, environ["SIGN_IN"]) if auth == "cognito" else None,
        allowed_origin=environ.get("ALLOWED_ORIGIN"),
        request_id_key=environ.get("REQUEST_ID_KEY"),
        label_bucket=environ.get("LABEL_BUCKET"),
        async_bucket=environ.get("ASYNC_BUCKET"),
    )


def _members(kind: type[T], text: str) -> T:
    """Read a JSON object's known members: AWS may set variables before it updates the code that knows all."""
    given = json.loads(text)
    return kind(**{each.name: given[each.name] for each in fields(kind) if each.name in given})  # type: ignore[arg-type]
