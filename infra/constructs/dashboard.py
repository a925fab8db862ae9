"""One page that says how an environment is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.container_phases import PHASES, namespace
from infra.constructs.endpoint_metrics import MICROSECONDS_PER_MS, EndpointMetrics
from infra.constructs.gateway_metrics import GatewayMetrics
from infra.settings.hosting import RealTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.config import Settings
    from infra.release import Release

PERIOD = cdk.Duration.minutes(5)
PERCENTILES = ("p50", "p90", "p99")
FULL = 24  # columns of a dashboard


class Dashboard(Construct):
    """Requests, errors by kind, where the time goes, instances, answers per class, and what serves."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        settings: Settings,
        release: Release,
        endpoint_name: str,
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, id_)
        self._settings = settings
        self._gateway = GatewayMetrics(settings.environment, endpoint_name=endpoint_name, period=PERIOD)
        self._endpoint = EndpointMetrics(endpoint_name, period=PERIOD)
        page = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=name, default_interval=cdk.Duration.days(1)
        )
        page.add_widgets(
            _what_serves(release, endpoint_name),
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=FULL * 2 // 3, height=4),
        )
        page.add_widgets(self._requests(), self._errors(), self._capacity())
        page.add_widgets(*(self._latency(percentile) for percentile in PERCENTILES))
        page.add_widgets(self._phases(), self._answers(), self._shares())

    def _requests(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Requests",
            self._gateway.api("Count", statistic="Sum", label="Gateway"),
            self._endpoint.metric("Invocations", statistic="Sum", label="Endpoint"),
        )

    def _errors(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Errors by kind",
            self._gateway.api("4XXError", statistic="Sum", label="Gateway 4XX: the caller's"),
            self._gateway.api("5XXError", statistic="Sum", label="Gateway 5XX"),
            self._gateway.function("Errors", statistic="Sum", label="Lambda errors"),
            self._gateway.function("Throttles", statistic="Sum", label="Lambda throttles"),
            self._endpoint.server_errors(),
            self._endpoint.model_faults(),
        )

    def _capacity(self) -> cloudwatch.GraphWidget:
        if isinstance(self._settings.hosting, RealTime):
            return _graph("Instances", self._endpoint.instances())
        starts = self._endpoint.metric("ModelSetupTime", statistic="SampleCount", label="Cold starts")
        return _graph("Cold starts of the serverless endpoint", starts)

    def _latency(self, percentile: str) -> cloudwatch.GraphWidget:
        """Show how long the whole took, and of that the Lambda and the model: each includes the next."""
        model_ms = cloudwatch.MathExpression(
            expression=f"model / {MICROSECONDS_PER_MS}",
            label="Model",
            period=PERIOD,
            using_metrics={"model": self._endpoint.model_latency(percentile)},
        )
        return _graph(
            f"Latency {percentile}, ms: gateway ⊃ Lambda ⊃ model",
            self._gateway.api("Latency", statistic=percentile, label="Gateway"),
            self._gateway.function("Duration", statistic=percentile, label="Lambda"),
            model_ms,
        )

    def _phases(self) -> cloudwatch.GraphWidget:
        phases = [
            cloudwatch.Metric(
                namespace=namespace(self._settings.environment),
                metric_name=phase,
                statistic="p90",
                period=PERIOD,
                label=phase,
            )
            for phase in PHASES
        ]
        return _graph("In the container p90, µs", *phases, stacked=True)

    def _answers(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Answers",
            self._gateway.predictions("YES"),
            self._gateway.predictions("NO"),
            self._gateway.refusals(),
            stacked=True,
        )

    def _shares(self) -> cloudwatch.GraphWidget:
        counts = {
            "yes": self._gateway.predictions("YES"),
            "no": self._gateway.predictions("NO"),
            "refused": self._gateway.refusals(),
        }
        answered = "FILL(yes, 0) + FILL(no, 0)"
        shares = {
            "Share refused": (f"FILL(refused, 0) / ({answered} + FILL(refused, 0))", counts),
            "Share of YES": (
                f"FILL(yes, 0) / ({answered})",
                {key: counts[key] for key in ("yes", "no")},
            ),
        }
        return _graph(
            "Shares",
            *(
                cloudwatch.MathExpression(expression=expression, label=label, period=PERIOD, using_metrics=of)
                for label, (expression, of) in shares.items()
            ),
        )


def _what_serves(release: Release, endpoint_name: str) -> cloudwatch.TextWidget:
    model = release.model
    lines = [
        f"## {model.name} version {model.version}",
        f"artifact `{model.sha256[:12]}`, MLflow run `{release.mlflow.run_id}`",
        f"endpoint `{endpoint_name}`",
        "**Not a medical device.**",
    ]
    return cloudwatch.TextWidget(markdown="\n\n".join(lines), width=FULL // 3, height=4)


def _graph(title: str, *metrics: cloudwatch.IMetric, stacked: bool = False) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        stacked=stacked,
        width=FULL // 3,
        height=6,
        left_y_axis=cloudwatch.YAxisProps(min=0),
    )
