"""Who may ask the model, as the page and the documents tell it; API Gateway alone lets in or refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["none", "api_key", "iam", "cognito"]

# What a page of the configured origin may send besides the image's type, in each mode.
HEADERS: Mapping[Mode, tuple[str, ...]] = {
    "none": (),
    "api_key": ("X-Api-Key",),
    "iam": ("Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"),
    "cognito": ("Authorization",),
}


@dataclass(frozen=True)
class SignIn:
    """Where people sign in: an origin, the page's name there, and what it asks for."""

    address: str
    client_id: str
    scope: str


@dataclass(frozen=True)
class Access:
    """The mode, and what it needs to be told."""

    mode: Mode
    region: str  # signatures are made for it
    sign_in: SignIn | None = None  # with cognito


def told(document: dict[str, Any], access: Access) -> dict[str, Any]:
    """Return the OpenAPI document with this deployment's way in, of those that it describes, and no other."""
    components = {**document["components"]}
    schemes = components.pop("securitySchemes")
    paths = {**document["paths"]}
    operation = paths["/predict"]["post"]
    if access.mode != "none":
        scheme = schemes[access.mode]
        scopes: list[str] = []
        if access.sign_in:
            scheme, scopes = _of(access.sign_in, scheme), [access.sign_in.scope]
        components["securitySchemes"] = {access.mode: scheme}
        operation = {**operation, "security": [{access.mode: scopes}]}
    paths["/predict"] = {"post": operation}
    return {**document, "paths": paths, "components": components}


def _of(sign_in: SignIn, scheme: dict[str, Any]) -> dict[str, Any]:
    (flow,) = scheme["flows"].values()
    (meaning,) = flow["scopes"].values()
    flow = {
        "authorizationUrl": f"{sign_in.address}/oauth2/authorize",
        "tokenUrl": f"{sign_in.address}/oauth2/token",
        "scopes": {sign_in.scope: meaning},
    }
    return {**scheme, "flows": {"authorizationCode": flow}}
