"""The sight stack: dashboard, alarms, budget and the scheduled canary. It knows all others by name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.alarm_topic import AlarmTopic
from infra.constructs.alarms import Alarms
from infra.constructs.budget import MonthlyBudget
from infra.constructs.dashboard import Dashboard
from infra.constructs.golden_canary import GoldenCanary
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from pathlib import Path

    from constructs import Construct

    from infra.config import Settings
    from infra.release import Release
    from infra.settings.sight import Sight


class SightStack(EnvironmentStack):
    """What is watched, who is told, and what it may cost.

    Parameters
    ----------
    canary
        The folder with the scheduled canary's code.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        sight: Sight,
        release: Release,
        canary: Path,
    ) -> None:
        super().__init__(
            scope, id_, settings=settings, description="tumor-detector: dashboard, alarms and budget"
        )
        endpoint_name = names.endpoint(settings.environment, mode=settings.hosting.mode)
        key = self.put_logs_under_key(settings)
        topic = AlarmTopic(self, "Topic", emails=sight.emails, key=key).topic
        alarms = Alarms(
            self,
            "Alarms",
            environment=settings.environment,
            endpoint_name=endpoint_name,
            latency_ms=sight.latency_alarm_ms,
            topic=topic,
        )
        if sight.shift:
            alarms.watch_shift(sight.shift)
        if sight.golden_canary:
            golden_canary = GoldenCanary(
                self,
                "GoldenCanary",
                code=canary,
                release=release,
                function_name=names.function(settings.environment),
                endpoint_name=endpoint_name,
                every=cdk.Duration.minutes(sight.golden_canary.every_minutes),
                log_retention_days=settings.log_retention_days,
            )
            alarms.watch_canary(golden_canary)
        MonthlyBudget(
            self,
            "Budget",
            environment=settings.environment,
            limit_usd=sight.monthly_budget_usd,
            topic=topic,
        )
        Dashboard(
            self,
            "Dashboard",
            name=names.deployment(settings.environment),
            settings=settings,
            release=release,
            endpoint_name=endpoint_name,
            alarms=alarms.all,
        )
        self.add_output("DashboardName", names.deployment(settings.environment), "In CloudWatch")
        self.add_output("TopicArn", topic.topic_arn, "Where the alarms go")
