"""The monitoring stack: dashboard, alarms, budget and the scheduled canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.monitoring.alarms import Alarms
from infra.constructs.monitoring.dashboard import Dashboard
from infra.constructs.monitoring.golden_canary import GoldenCanary
from infra.constructs.monitoring.notifications import AlarmTopic, MonthlyBudget
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from infra.config import Settings
    from infra.config.environment import Monitoring
    from infra.release import Release


class MonitoringStack(EnvironmentStack):
    """Dashboard, alarms, budget and canary; other stacks' resources are found by name."""

    def __init__(self, app: cdk.App, *, settings: Settings, monitoring: Monitoring, release: Release) -> None:
        super().__init__(app, "monitoring", settings=settings, description="dashboard, alarms and budget")
        environment = settings.environment
        key = self.put_logs_under_key(settings)
        topic = AlarmTopic(self, "Topic", emails=monitoring.emails, key=key).topic
        alarms = Alarms(
            self,
            "Alarms",
            settings=settings,
            monitoring=monitoring,
            topic=topic,
        )
        if monitoring.golden_canary:
            canary = GoldenCanary(
                self,
                "GoldenCanary",
                settings=settings,
                release=release,
                every=cdk.Duration.minutes(monitoring.golden_canary.every_minutes),
            )
            alarms.watch_canary(canary)
        limit_usd = monitoring.monthly_budget_usd
        MonthlyBudget(self, "Budget", environment=environment, limit_usd=limit_usd, topic=topic)
        dashboard_name = names.dashboard(environment, region=settings.region)
        Dashboard(
            self,
            "Dashboard",
            name=dashboard_name,
            settings=settings,
            release=release,
            alarms=alarms.all,
        )
        self.add_output("DashboardName", dashboard_name, "In CloudWatch")
        self.add_output("TopicArn", topic.topic_arn, "Where the alarms go")
