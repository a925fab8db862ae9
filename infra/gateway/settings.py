"""The Lambda's environment as a typed model, checked once at cold start."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGIN = re.compile(r"https?://[^\s/]+")


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
    model = _model(environ.get("MODEL", ""), faults)
    if model is None or faults:
        raise SettingsError("; ".join(faults))
    return Settings(endpoint_name=endpoint_name, model=model, allowed_origin=allowed_origin)


def _model(text: str, faults: list[str]) -> Model | None:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
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
