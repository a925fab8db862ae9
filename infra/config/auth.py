"""Who may request a prediction, and the firewall in front of the API.

The rules are those of Cognito and AWS WAF:
docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-app-idp-settings.html for addresses,
docs.aws.amazon.com/waf/latest/developerguide/waf-rule-statement-type-rate-based.html for rates.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from infra.config.base import STRICT, distinct, matches

Auth = Literal["none", "api_key", "iam", "cognito"]

# Cognito redirects only to https or to localhost, and compares addresses character by character; the page
# sends its own with a slash at the end.
PageAddress = Annotated[
    str,
    Field(max_length=1024),
    matches(
        r"(https://[a-z0-9.-]+|http://localhost)(:[0-9]+)?(/([A-Za-z0-9._~-]+|\{api_id\}))*/",
        like="https://host/path/ or http://localhost:port/, the host in lower case, with a slash at the end",
    ),
]
LocalAddress = Annotated[str, matches(r"http://localhost(:[0-9]+)?", like="http://localhost:PORT")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Firewall:
    """AWS WAF in front of the stage, billed by the month, the rule and the request."""

    requests_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)]  # from one address


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SignIn:
    """Addresses for the sign-in with Cognito.

    `pages` are further addresses of the page, such as one under a domain of your own, beside the stage's
    address; ``{api_id}`` stands for the API's id. `local_address` is where the emulator's Cognito answers.
    """

    pages: Annotated[
        tuple[PageAddress, ...],
        Field(max_length=99),  # Cognito takes 100, one of which is the stage's own
        AfterValidator(distinct),
    ] = ()
    local_address: LocalAddress | None = None
