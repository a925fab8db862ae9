"""The Lambda's environment as a typed model, validated once at cold start."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[object], bool]

Mode = Literal["none", "api_key", "iam", "cognito"]
"""How callers authenticate. API Gateway enforces it; the Lambda needs it for the page and for CORS."""


def _text(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


# Origins and what is of a sign-in become part of headers, of HTML and of JSON: none has a character with a
# meaning there.
ORIGIN = "https?://[A-Za-z0-9.-]+(:[0-9]+)?"
SIGN_IN = {"address": _text(ORIGIN), "client_id": _text(r"[\w+-]+"), "scope": _text(r"[\w./:-]+")}
MODEL: dict[str, Check] = {
    **dict.fromkeys(("name", "version", "sha256"), _text("(?s).*")),
    "kind": _text("images|phantom"),
    "gates_failed": lambda value: isinstance(value, list) and all(isinstance(gate, str) for gate in value),
    "forced": lambda value: value is None or isinstance(value, str),
}


class SettingsError(ValueError):
    """The environment is incomplete or malformed; the message lists every error."""


@dataclass(frozen=True)
class Model:
    """The model behind the endpoint, as its release record names it."""

    name: str
    version: str
    sha256: str
    kind: str  # of its training data: "images" or "phantom"
    gates_failed: tuple[str, ...]
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
    """Return the settings in `environ`.

    Raises
    ------
    SettingsError
        Listing everything that is missing or malformed.
    """
    errors: list[str] = []
    endpoint_name = environ.get("ENDPOINT_NAME", "")
    if not endpoint_name:
        errors.append("ENDPOINT_NAME is missing: set it to the SageMaker endpoint's name")
    allowed_origin = environ.get("ALLOWED_ORIGIN") or None
    if allowed_origin and not re.fullmatch(ORIGIN, allowed_origin):
        errors.append(f"ALLOWED_ORIGIN is {allowed_origin!r}: write an origin such as https://example.org")
    auth = environ.get("AUTH", "")
    if auth not in get_args(Mode):
        errors.append(f"AUTH is {auth!r}: set it to one of {', '.join(get_args(Mode))}")
    sign_in = _members(environ, "SIGN_IN", SIGN_IN, errors) if auth == "cognito" else None
    buckets = [environ.get(f"{name}_BUCKET") or None for name in ("LABEL", "ASYNC")]
    key_secret = environ.get("REQUEST_ID_KEY") or None
    if any(buckets) != bool(key_secret):
        errors.append("REQUEST_ID_KEY belongs to LABEL_BUCKET or ASYNC_BUCKET: set it with one, or neither")
    model = _members(environ, "MODEL", MODEL, errors)
    if errors:
        raise SettingsError("; ".join(errors))
    return Settings(
        endpoint_name=endpoint_name,
        model=Model(**{**model, "gates_failed": tuple(model["gates_failed"])}),
        auth=cast("Mode", auth),
        sign_in=SignIn(**sign_in) if sign_in else None,
        allowed_origin=allowed_origin,
        request_id_key=key_secret,
        label_bucket=buckets[0],
        async_bucket=buckets[1],
    )


def _members(
    environ: Mapping[str, str], variable: str, checks: Mapping[str, Check], errors: list[str]
) -> dict[str, Any]:
    """Return the members of a JSON object that have a check; report those that fail it."""
    try:
        members = json.loads(environ.get(variable, ""))
    except ValueError:
        members = None
    members = members if isinstance(members, dict) else {}
    wrong = [key for key, is_valid in checks.items() if not is_valid(members.get(key))]
    if wrong:
        errors.append(f"{variable} has missing or malformed keys: {', '.join(wrong)}")
    return {key: members[key] for key in checks if key in members}
