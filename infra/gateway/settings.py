"""The Lambda's environment as a typed model, checked once at cold start."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from access import Access, Mode, SignIn

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of letters, digits and these alone: it becomes part of headers and of the page's policy.
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?")


class SettingsError(ValueError):
    """The environment is not what the stack should have set; names every fault at once."""


@dataclass(frozen=True)
class Model:
    """The model behind the endpoint, as its release record names it."""

    name: str
    version: str
    sha256: str
    kind: str  # of its training data: "images", or "phantom" for drawn ones
    gates_failed: tuple[str, ...]
    forced: str | None = None  # why it serves all the same, where somebody decided so


@dataclass(frozen=True)
class Settings:
    """Everything the handler is told from outside."""

    endpoint_name: str
    model: Model
    access: Access
    allowed_origin: str | None


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`.

    Raises
    ------
    SettingsError
        Listing everything that is missing or malformed.
    """
    faults: list[str] = []
    endpoint_name = environ.get("ENDPOINT_NAME", "")
    if not endpoint_name:
        faults.append("ENDPOINT_NAME is missing: set it to the SageMaker endpoint's name")
    allowed_origin = environ.get("ALLOWED_ORIGIN") or None
    if allowed_origin and not ORIGIN.fullmatch(allowed_origin):
        faults.append(f"ALLOWED_ORIGIN is {allowed_origin!r}: write an origin such as https://example.org")
    access = _access(environ, faults)
    model = _model(environ.get("MODEL", ""), faults)
    if model is None or access is None or faults:
        raise SettingsError("; ".join(faults))
    return Settings(endpoint_name=endpoint_name, model=model, access=access, allowed_origin=allowed_origin)


def _access(environ: Mapping[str, str], faults: list[str]) -> Access | None:
    mode = environ.get("AUTH", "")
    if mode not in get_args(Mode):
        faults.append(f"AUTH is {mode!r}: set it to one of {', '.join(get_args(Mode))}")
        return None
    sign_in = _sign_in(environ.get("SIGN_IN", ""), faults) if mode == "cognito" else None
    return Access(cast("Mode", mode), region=environ.get("AWS_REGION", ""), sign_in=sign_in)


def _sign_in(text: str, faults: list[str]) -> SignIn | None:
    fields = _object(text) or {}
    wrong = [key for key in ("address", "client_id", "scope") if not isinstance(fields.get(key), str)]
    if "address" not in wrong and not ORIGIN.fullmatch(fields["address"]):
        wrong.append("address")
    if wrong:
        faults.append(f"SIGN_IN has missing or malformed keys: {', '.join(wrong)}")
        return None
    return SignIn(address=fields["address"], client_id=fields["client_id"], scope=fields["scope"])


def _object(text: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _model(text: str, faults: list[str]) -> Model | None:
    fields = _object(text)
    if fields is None:
        faults.append("MODEL is not a JSON object: set it to the release record's model")
        return None
    wrong = [key for key in ("name", "version", "sha256") if not isinstance(fields.get(key), str)]
    if fields.get("kind") not in ("images", "phantom"):
        wrong.append("kind")
    gates = fields.get("gates_failed")
    if not isinstance(gates, list) or not all(isinstance(gate, str) for gate in gates):
        wrong.append("gates_failed")
    if not isinstance(fields.get("forced", ""), str):
        wrong.append("forced")
    if wrong:
        faults.append(f"MODEL has missing or malformed keys: {', '.join(wrong)}")
        return None
    return Model(
        name=fields["name"],
        version=fields["version"],
        sha256=fields["sha256"],
        kind=fields["kind"],
        gates_failed=tuple(fields["gates_failed"]),
        forced=fields.get("forced"),
    )
