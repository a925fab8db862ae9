"""The Lambda's environment as a typed model, validated once at cold start."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["none", "api_key", "iam", "cognito"]
"""How callers authenticate. API Gateway enforces it; the Lambda needs it for the page and for CORS."""

# These values become part of headers, of HTML and of JSON: none has a character with a meaning there.
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?")
SIGN_IN = {"address": ORIGIN, "client_id": re.compile(r"[\w+-]+"), "scope": re.compile(r"[\w./:-]+")}


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
class Feedback:
    """The bucket of labels, and the secret with the key of the check in request ids."""

    bucket: str
    key_secret: str


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
    feedback: Feedback | None  # where labels are taken


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
    if allowed_origin and not ORIGIN.fullmatch(allowed_origin):
        errors.append(f"ALLOWED_ORIGIN is {allowed_origin!r}: write an origin such as https://example.org")
    auth = environ.get("AUTH", "")
    if auth not in get_args(Mode):
        errors.append(f"AUTH is {auth!r}: set it to one of {', '.join(get_args(Mode))}")
    sign_in = _sign_in(environ.get("SIGN_IN", ""), errors) if auth == "cognito" else None
    bucket, key_secret = environ.get("LABEL_BUCKET", ""), environ.get("REQUEST_ID_KEY", "")
    if bool(bucket) != bool(key_secret):
        errors.append("LABEL_BUCKET and REQUEST_ID_KEY belong together: set both, or neither")
    model = _model(environ.get("MODEL", ""), errors)
    if model is None or errors:
        raise SettingsError("; ".join(errors))
    return Settings(
        endpoint_name=endpoint_name,
        model=model,
        auth=cast("Mode", auth),
        sign_in=sign_in,
        allowed_origin=allowed_origin,
        feedback=Feedback(bucket, key_secret) if bucket else None,
    )


def _sign_in(text: str, errors: list[str]) -> SignIn | None:
    members = _object(text)
    wrong = [
        key
        for key, pattern in SIGN_IN.items()
        if not (isinstance(value := members.get(key), str) and pattern.fullmatch(value))
    ]
    if wrong:
        errors.append(f"SIGN_IN has missing or malformed keys: {', '.join(wrong)}")
        return None
    return SignIn(**{key: members[key] for key in SIGN_IN})


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object's members; none if the text is anything else."""
    try:
        members = json.loads(text)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _model(text: str, errors: list[str]) -> Model | None:
    members = _object(text)
    gates = members.get("gates_failed")
    valid = {
        **{key: isinstance(members.get(key), str) for key in ("name", "version", "sha256")},
        "kind": members.get("kind") in ("images", "phantom"),
        "gates_failed": isinstance(gates, list) and all(isinstance(gate, str) for gate in gates),
        "forced": isinstance(members.get("forced", ""), str),
    }
    wrong = [key for key, fine in valid.items() if not fine]
    if wrong:
        errors.append(f"MODEL has missing or malformed keys: {', '.join(wrong)}")
        return None
    found = {key: members[key] for key in valid if key in members}
    return Model(**{**found, "gates_failed": tuple(members["gates_failed"])})
