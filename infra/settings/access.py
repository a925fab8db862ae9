"""Who may ask the model, and what stands before everyone who asks.

The rules are Cognito's and AWS WAF's own:
docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-app-idp-settings.html for addresses,
docs.aws.amazon.com/waf/latest/developerguide/waf-rule-statement-type-rate-based.html for rates.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from infra.report import shaped
from infra.settings.checked import CHECKED, distinct

Auth = Literal["none", "api_key", "iam", "cognito"]

# Cognito returns people to https, or to the machine in front of them; it compares addresses to the letter,
# and the page's own ends with a slash.
PageAddress = Annotated[
    str,
    Field(max_length=1024),
    shaped(
        r"(https://[a-z0-9.-]+|http://localhost)(:[0-9]+)?(/([A-Za-z0-9._~-]+|\{api_id\}))*/",
        like="https://host/path/ or http://localhost:port/, the host in lower case, with a slash at the end",
    ),
]
LaptopAddress = Annotated[str, shaped(r"http://localhost(:[0-9]+)?", like="http://localhost:PORT")]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Firewall:
    """AWS WAF in front of the stage. It is billed by the month, by the rule and by the request."""

    # of one address; WAF takes 10 to 2,000,000,000
    requests_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class SignIn:
    """What Cognito cannot know by itself; without it people sign in at the page of the stage's own address.

    `pages` are further addresses of the page, such as one behind a domain of your own; ``{api_id}`` stands
    for the API's id. `laptop_address` is where a laptop's Cognito answers.
    """

    pages: Annotated[
        tuple[PageAddress, ...],
        Field(max_length=99),  # Cognito takes 100, of which one is the stage's own
        AfterValidator(distinct),
    ] = ()
    laptop_address: LaptopAddress | None = None
