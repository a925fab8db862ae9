"""How callers authenticate: API Gateway enforces it; the Lambda needs it for the page and for CORS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["none", "api_key", "iam", "cognito"]

# The request headers that each mode adds for a page of the allowed origin.
HEADERS: Mapping[Mode, tuple[str, ...]] = {
    "none": (),
    "api_key": ("X-Api-Key",),
    "iam": ("Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"),
    "cognito": ("Authorization",),
}


@dataclass(frozen=True)
class SignIn:
    """Where people sign in: an origin, the page's client id there, and the scope that it requests."""

    address: str
    client_id: str
    scope: str
