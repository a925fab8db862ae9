"""The dashboard, the alarms and who receives them, and the budget."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from infra.config.base import STRICT, distinct, matches

Share = Annotated[float, Field(gt=0, lt=1)]
MailAddress = Annotated[
    str,
    Field(max_length=254),
    matches(r"[^@\s]+@[^@\s]+\.[^@\s.]+", like="one mail address, such as a@b.org"),
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Drift:
    """Limits on the shares of refusals and of class YES over the last `hours`.

    They are compared only if at least `minimum_requests` arrived in that time: shares of a few are noise.
    The share of YES may differ from `yes_share` by `yes_tolerance`.
    """

    hours: Annotated[int, Field(ge=1, le=24)]
    minimum_requests: Annotated[int, Field(ge=10, le=1_000_000)]
    refused_share: Share
    yes_share: Share
    yes_tolerance: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GoldenCanary:
    """A schedule for what `scripts/smoke` does after a deploy: checking the release's golden answers."""

    every_minutes: Annotated[int, Field(ge=5, le=1440)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Monitoring:
    """Dashboard, alarms and budget. Without `emails` the alarms reach only their topic."""

    latency_alarm_ms: Annotated[int, Field(ge=1, le=29_000)]  # API Gateway gives up after 29 s
    monthly_budget_usd: Annotated[int, Field(ge=1, le=1_000_000)]
    emails: Annotated[tuple[MailAddress, ...], Field(max_length=10), AfterValidator(distinct)] = ()
    drift: Drift | None = None
    golden_canary: GoldenCanary | None = None
