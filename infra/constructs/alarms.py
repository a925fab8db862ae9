"""What somebody has to look at: errors, slowness, and a model that meets what it was not made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from infra.constructs.endpoint_metrics import EndpointMetrics
from infra.constructs.gateway_metrics import GatewayMetrics

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns

    from infra.constructs.golden_canary import GoldenCanary
    from infra.settings.sight import Shift

PERIOD = cdk.Duration.minutes(5)
FAILED_SHARE = 0.05  # of all requests, in two of three periods
_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD


class Alarms(Construct):
    """Alarms that tell `topic`. Those that roll an update back are another matter: they are the rollout's.

    Attributes
    ----------
    all
        Every one, in the order in which the dashboard shows them.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        endpoint_name: str,
        latency_ms: int,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, id_)
        self.all: list[cloudwatch.Alarm] = []
        self._environment = environment
        self._endpoint_name = endpoint_name
        self._action = actions.SnsAction(topic)
        self._watch_gateway(latency_ms)
        self._watch_endpoint()

    def _watch_gateway(self, latency_ms: int) -> None:
        gateway = self._gateway(PERIOD)
        # The average of an error metric is the share of requests that ended so.
        failed = gateway.api("5XXError", statistic="Average")
        self._add("GatewayErrors", "Requests end in 5XX", failed, above=FAILED_SHARE, of=(2, 3))
        slow = gateway.api("Latency", statistic="p99")
        self._add("GatewayLatency", "Answers are slow", slow, above=latency_ms, of=(3, 3))
        crashed = gateway.function("Errors", statistic="Sum")
        self._add("FunctionErrors", "The Lambda crashed or ran out of time", crashed, above=0)
        throttled = gateway.function("Throttles", statistic="Sum")
        self._add("FunctionThrottles", "The account's Lambda concurrency is used up", throttled, above=0)

    def _watch_endpoint(self) -> None:
        endpoint = EndpointMetrics(self._endpoint_name, period=PERIOD)
        self._add("EndpointErrors", "SageMaker failed requests", endpoint.server_errors(), above=0, of=(2, 3))
        self._add("ModelFaults", "The container failed requests", endpoint.model_faults(), above=0, of=(2, 3))

    def watch_shift(self, shift: Shift) -> None:
        """Tell when too much is refused, or one class is answered far too often or too seldom."""
        gateway = self._gateway(cdk.Duration.hours(shift.hours))
        counts = {
            "yes": gateway.predictions("YES"),
            "no": gateway.predictions("NO"),
            "refused": gateway.refusals(),
        }
        answered = "FILL(yes, 0) + FILL(no, 0)"
        seen = f"{answered} + FILL(refused, 0)"
        refusals = f"IF({seen} >= {shift.minimum_requests}, FILL(refused, 0) / ({seen}), 0)"
        self._add(
            "RefusalShift",
            "More is refused than was expected: what is sent has changed",
            self._expression(refusals, "Share refused", counts, shift.hours),
            above=shift.refused_share,
        )
        balance = f"ABS(FILL(yes, 0) / ({answered}) - {shift.yes_share})"
        answers = {key: counts[key] for key in ("yes", "no")}
        self._add(
            "ClassShift",
            "The share of YES is far from what was expected: what is sent, or the model, has changed",
            self._expression(
                f"IF({answered} >= {shift.minimum_requests}, {balance}, 0)",
                "Distance of the share of YES",
                answers,
                shift.hours,
            ),
            above=shift.yes_tolerance,
        )

    def watch_canary(self, canary: GoldenCanary) -> None:
        """Tell when golden answers are wrong twice in a row, or were not asked for."""
        self._add(
            "GoldenAnswers",
            "What serves does not answer as what was released",
            canary.failures(),
            above=0,
            of=(2, 2),
            without_data=cloudwatch.TreatMissingData.BREACHING,
        )

    def _gateway(self, period: cdk.Duration) -> GatewayMetrics:
        return GatewayMetrics(self._environment, endpoint_name=self._endpoint_name, period=period)

    @staticmethod
    def _expression(
        expression: str, label: str, using: dict[str, cloudwatch.Metric], hours: int
    ) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            expression=expression, label=label, using_metrics=using, period=cdk.Duration.hours(hours)
        )

    def _add(
        self,
        id_: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        above: float,
        of: tuple[int, int] = (1, 1),
        without_data: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id_,
            alarm_description=description,
            metric=metric,
            threshold=above,
            comparison_operator=_ABOVE,
            datapoints_to_alarm=of[0],
            evaluation_periods=of[1],
            treat_missing_data=without_data,
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)
