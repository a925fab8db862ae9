"""What is watched, who is told, and what it may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from infra.report import shaped
from infra.settings.checked import CHECKED, distinct

Share = Annotated[float, Field(gt=0, lt=1)]
MailAddress = Annotated[
    str, Field(max_length=254), shaped(r"[^@\s]+@[^@\s]+\.[^@\s.]+", like="one mail address, such as a@b.org")
]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Shift:
    """When what people send, or what the model says to it, is no longer what it was made for.

    Judged over `hours`, and only when at least `minimum_requests` came in that time: a share of a few says
    nothing. `yes_share` is what is expected of class YES, `yes_tolerance` how far off is still right.
    """

    hours: Annotated[int, Field(ge=1, le=24)]
    minimum_requests: Annotated[int, Field(ge=10, le=1_000_000)]
    refused_share: Share
    yes_share: Share
    yes_tolerance: Share


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class GoldenCanary:
    """The release's golden answers are asked for again and again, as `scripts/smoke` does after a deploy."""

    every_minutes: Annotated[int, Field(ge=5, le=1440)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Sight:
    """Dashboard, alarms and budget. With no address in `emails` the alarms reach their topic alone."""

    latency_alarm_ms: Annotated[int, Field(ge=1, le=29_000)]  # API Gateway gives up after 29 s
    monthly_budget_usd: Annotated[int, Field(ge=1, le=1_000_000)]
    emails: Annotated[tuple[MailAddress, ...], Field(max_length=10), AfterValidator(distinct)] = ()
    shift: Shift | None = None
    golden_canary: GoldenCanary | None = None
