"""One page that shows how an environment is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.config.hosting import Serverless
from infra.constructs.monitoring.metrics import MICROSECONDS_PER_MS, PHASES, Metrics
from infra.names import SHADOW_VARIANT_NAME, VARIANT_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.config import Settings
    from infra.release import Release

PERCENTILES = ("p50", "p90", "p99")
FULL = 24  # columns of a dashboard


class Dashboard(Construct):
    """Requests, errors by kind, latency, instances, predictions by class, and the model that serves."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        settings: Settings,
        release: Release,
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, id_)
        self._metrics = Metrics(settings, period=cdk.Duration.minutes(5))
        page = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=name, default_interval=cdk.Duration.days(1)
        )
        page.add_widgets(
            _model(release, settings.endpoint_name),
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=FULL * 2 // 3, height=4),
        )
        page.add_widgets(self._requests(), self._errors(), self._capacity(settings))
        page.add_widgets(*(self._latency(percentile) for percentile in PERCENTILES))
        page.add_widgets(self._phases(), self._predictions(), self._shares())
        if settings.shadow:
            compared = (("Invocations", "Sum"), ("ModelLatency", "p90"), ("InvocationModelErrors", "Sum"))
            page.add_widgets(*(self._variants(name, statistic, settings) for name, statistic in compared))

    def _requests(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Requests",
            self._metrics.api("Count", "Sum", label="Gateway"),
            self._metrics.endpoint("Invocations", "Sum", label="Endpoint"),
        )

    def _errors(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Errors by kind",
            self._metrics.api("4XXError", "Sum", label="Gateway 4XX: the caller's"),
            self._metrics.api("5XXError", "Sum", label="Gateway 5XX"),
            self._metrics.function("Errors", "Sum", label="Lambda errors"),
            self._metrics.function("Throttles", "Sum", label="Lambda throttles"),
            self._metrics.server_errors(),
            self._metrics.model_faults(),
        )

    def _capacity(self, settings: Settings) -> cloudwatch.GraphWidget:
        if not isinstance(settings.hosting, Serverless):
            return _graph("Instances", self._metrics.instances())
        starts = self._metrics.endpoint("ModelSetupTime", "SampleCount", label="Cold starts")
        return _graph("Cold starts of the serverless endpoint", starts)

    def _latency(self, percentile: str) -> cloudwatch.GraphWidget:
        """Show how long the whole took, and of that the Lambda and the model: each includes the next."""
        model = {"model": self._metrics.model_latency(percentile)}
        return _graph(
            f"Latency {percentile}, ms: gateway ⊃ Lambda ⊃ model",
            self._metrics.api("Latency", percentile, label="Gateway"),
            self._metrics.function("Duration", percentile, label="Lambda"),
            self._metrics.expression(f"model / {MICROSECONDS_PER_MS}", "Model", model),
        )

    def _phases(self) -> cloudwatch.GraphWidget:
        phases = [self._metrics.phase(phase, "p90") for phase in PHASES]
        return _graph("In the container p90, µs", *phases, stacked=True)

    def _variants(self, name: str, statistic: str, settings: Settings) -> cloudwatch.GraphWidget:
        """Show a metric of the variant that serves and of its shadow."""
        metrics = []
        for variant in (VARIANT_NAME, SHADOW_VARIANT_NAME):
            dimensions = {"EndpointName": settings.endpoint_name, "VariantName": variant}
            metric = self._metrics.endpoint(name, statistic, label=variant)
            metrics.append(metric.with_(dimensions_map=dimensions))
        return _graph(f"{name} {statistic}: what serves and its shadow", *metrics)

    def _predictions(self) -> cloudwatch.GraphWidget:
        return _graph("Predictions", *self._metrics.outcomes().values(), stacked=True)

    def _shares(self) -> cloudwatch.GraphWidget:
        counts = self._metrics.outcomes()
        classes = {key: counts[key] for key in ("yes", "no")}
        predicted = "FILL(yes, 0) + FILL(no, 0)"
        refused = f"FILL(refused, 0) / ({predicted} + FILL(refused, 0))"
        return _graph(
            "Shares",
            self._metrics.expression(refused, "Share refused", counts),
            self._metrics.expression(f"FILL(yes, 0) / ({predicted})", "Share of YES", classes),
        )


def _model(release: Release, endpoint_name: str) -> cloudwatch.TextWidget:
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
