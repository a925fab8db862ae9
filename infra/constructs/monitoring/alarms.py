"""Alarms on errors, latency, drift and wrong golden answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from infra.constructs.monitoring.metrics import Metrics

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns

    from infra.config import Settings
    from infra.config.environment import Drift, Monitoring
    from infra.constructs.monitoring.golden_canary import GoldenCanary

PERIOD = cdk.Duration.minutes(5)
FAILED_SHARE = 0.05  # of all requests, in two of three periods


class Alarms(Construct):
    """Alarms that notify `topic`; those that roll an update back belong to the rollout.

    `all` has every one, in the order in which the dashboard shows them.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        monitoring: Monitoring,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, id_)
        self.all: list[cloudwatch.Alarm] = []
        self._action = actions.SnsAction(topic)
        metrics = Metrics(settings, period=PERIOD)
        # The average of an error metric is the share of requests that ended so.
        failed = metrics.api("5XXError", "Average")
        self._add("GatewayErrors", "Requests end in 5XX", failed, above=FAILED_SHARE, of=(2, 3))
        slow = metrics.api("Latency", "p99")
        self._add("GatewayLatency", "Answers are slow", slow, above=monitoring.latency_alarm_ms, of=(3, 3))
        crashed = metrics.function("Errors", "Sum")
        self._add("FunctionErrors", "The Lambda crashed or ran out of time", crashed, above=0)
        throttled = metrics.function("Throttles", "Sum")
        self._add("FunctionThrottles", "The account's Lambda concurrency is used up", throttled, above=0)
        self._add("EndpointErrors", "SageMaker failed requests", metrics.server_errors(), above=0, of=(2, 3))
        self._add("ModelFaults", "The container failed requests", metrics.model_faults(), above=0, of=(2, 3))
        if monitoring.drift:
            self._watch_drift(settings, monitoring.drift)

    def _watch_drift(self, settings: Settings, drift: Drift) -> None:
        """Notify when too much is refused, or the share of YES is far from the expected one."""
        metrics = Metrics(settings, period=cdk.Duration.hours(drift.hours))
        counts = metrics.outcomes()
        predicted = "FILL(yes, 0) + FILL(no, 0)"
        requests = f"{predicted} + FILL(refused, 0)"
        refused = f"IF({requests} >= {drift.minimum_requests}, FILL(refused, 0) / ({requests}), 0)"
        self._add(
            "RefusalDrift",
            "The share of refused images is above the expected one: the input has changed",
            metrics.expression(refused, "Share refused", counts),
            above=drift.refused_share,
        )
        distance = f"ABS(FILL(yes, 0) / ({predicted}) - {drift.yes_share})"
        distance = f"IF({predicted} >= {drift.minimum_requests}, {distance}, 0)"
        del counts["refused"]
        self._add(
            "ClassDrift",
            "The share of YES is far from the expected one: the input or the model has changed",
            metrics.expression(distance, "Distance of the share of YES", counts),
            above=drift.yes_tolerance,
        )

    def watch_canary(self, canary: GoldenCanary) -> None:
        """Notify when golden answers are wrong twice in a row, or are no longer checked.

        Missing data is a state of its own: as a breach it would notify on each first deploy, before the first
        run, where a new alarm already is in this state and so has no change to notify about.
        """
        alarm = self._add(
            "GoldenAnswers",
            "The endpoint does not answer as the release did at promotion",
            canary.failures(),
            above=0,
            of=(2, 2),
            without_data=cloudwatch.TreatMissingData.MISSING,
        )
        alarm.add_insufficient_data_action(self._action)

    def _add(
        self,
        id_: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        above: float,
        of: tuple[int, int] = (1, 1),
        without_data: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            id_,
            alarm_description=description,
            metric=metric,
            threshold=above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            datapoints_to_alarm=of[0],
            evaluation_periods=of[1],
            treat_missing_data=without_data,
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)
        return alarm
