"""Log groups that expire, and go when their stack goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_logs as logs

if TYPE_CHECKING:
    from constructs import Construct

    from infra.config.environment import RetentionDays

_RETENTION: dict[RetentionDays, logs.RetentionDays] = {
    1: logs.RetentionDays.ONE_DAY,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
}


def log_group(
    scope: Construct, id_: str, *, retention_days: RetentionDays, name: str | None = None
) -> logs.LogGroup:
    """Declare a log group.

    Give a name only where a service writes to a group of its choice, which it would create and keep forever.
    """
    return logs.LogGroup(
        scope,
        id_,
        log_group_name=name,
        retention=_RETENTION[retention_days],
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
