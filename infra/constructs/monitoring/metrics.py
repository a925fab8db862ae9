"""The metrics of an environment's gateway, endpoint and container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import names
from infra.lambdas.gateway import metrics as predictions

if TYPE_CHECKING:
    import aws_cdk as cdk

    from infra.config import Settings

MICROSECONDS_PER_MS = 1000  # ModelLatency and OverheadLatency are in microseconds

# The phases of a request in the container's log (container/server.py), each in microseconds.
PHASES = ("read", "queue", "decode", "inference", "write")


class Metrics:
    """The metrics of an environment's API, Lambda, endpoint and container, each over one `period`.

    Names and units are listed in docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html,
    docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html and
    docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html.
    """

    def __init__(self, settings: Settings, *, period: cdk.Duration) -> None:
        self._environment = settings.environment
        self._endpoint_name = settings.endpoint_name
        self._period = period

    def endpoint(
        self, name: str, statistic: str, *, label: str | None = None, namespace: str = "AWS/SageMaker"
    ) -> cloudwatch.Metric:
        """Return a metric of the endpoint's variant."""
        dimensions = {"EndpointName": self._endpoint_name, "VariantName": names.VARIANT_NAME}
        return self._metric(namespace, name, statistic, dimensions, label)

    def server_errors(self) -> cloudwatch.Metric:
        """Return how many requests SageMaker itself failed."""
        return self.endpoint("Invocation5XXErrors", "Sum", label="Endpoint 5XX")

    def model_faults(self) -> cloudwatch.MathExpression:
        """Return how many requests the container failed through no fault of the caller.

        SageMaker counts every response but 2XX as a model error: the 4XX for a caller's broken image are
        subtracted.
        """
        return self.expression(
            "FILL(failed, 0) - FILL(callers, 0)",
            "Model errors that are not the caller's",
            {
                "failed": self.endpoint("InvocationModelErrors", "Sum"),
                "callers": self.endpoint("Invocation4XXErrors", "Sum"),
            },
        )

    def model_latency(self, statistic: str) -> cloudwatch.Metric:
        """Return how long the container took, in microseconds."""
        return self.endpoint("ModelLatency", statistic, label=f"Model {statistic}")

    def instances(self) -> cloudwatch.MathExpression:
        """Return how many instances serve.

        SageMaker has no such metric. Each instance reports its own processor use once a minute, so the number
        of these reports in a minute is the number of instances. **Unverified on a real account.**
        """
        reports = self.endpoint("CPUUtilization", "SampleCount", namespace="/aws/sagemaker/Endpoints")
        return self.expression("reports / (PERIOD(reports) / 60)", "Instances", {"reports": reports})

    def expression(
        self, expression: str, label: str, using: dict[str, cloudwatch.Metric]
    ) -> cloudwatch.MathExpression:
        """Return a metric that CloudWatch computes from others."""
        return cloudwatch.MathExpression(
            expression=expression, label=label, using_metrics=using, period=self._period
        )

    def api(self, name: str, statistic: str, *, label: str | None = None) -> cloudwatch.Metric:
        """Return a metric of the API's stage."""
        dimensions = {"ApiName": names.deployment(self._environment), "Stage": names.STAGE_NAME}
        return self._metric("AWS/ApiGateway", name, statistic, dimensions, label)

    def function(self, name: str, statistic: str, *, label: str | None = None) -> cloudwatch.Metric:
        """Return a metric of the gateway's Lambda."""
        dimensions = {"FunctionName": names.function(self._environment)}
        return self._metric("AWS/Lambda", name, statistic, dimensions, label)

    def phase(self, name: str, statistic: str) -> cloudwatch.Metric:
        """Return how long one of `PHASES` took in the container, in microseconds."""
        return self._metric(_container_namespace(self._environment), name, statistic, None, name)

    def outcomes(self) -> dict[str, cloudwatch.Metric]:
        """Return the counts ``yes``, ``no`` and ``refused`` of the predictions."""
        dimensions = {predictions.DIMENSION: self._endpoint_name}
        return {
            key: self._metric(predictions.NAMESPACE, name, "Sum", dimensions, label)
            for key, name, label in (
                ("yes", predictions.YES, "YES"),
                ("no", predictions.NO, "NO"),
                ("refused", predictions.REFUSED, "Refused"),
            )
        }

    def _metric(
        self,
        namespace: str,
        name: str,
        statistic: str,
        dimensions: dict[str, str] | None,
        label: str | None,
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map=dimensions,
            statistic=statistic,
            period=self._period,
            label=label,
        )


class ContainerMetrics(Construct):
    """A metric filter on the container's log for each phase.

    Filters are used instead of the embedded metric format: they cost nothing, log lines stay short, and the
    container does not depend on CloudWatch. CloudWatch bills the same five metrics either way.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: Settings) -> None:
        super().__init__(scope, id_)
        name = names.endpoint_log_group(settings.endpoint_name)
        log_group = logs.LogGroup.from_log_group_name(self, "Log", name)
        for phase in PHASES:
            field = f"$.{phase}_us"
            logs.MetricFilter(
                self,
                phase.capitalize(),
                log_group=log_group,
                # `/ping` has only the last phase and is left out.
                filter_pattern=logs.FilterPattern.literal(
                    f'{{ ($.path = "/invocations") && ({field} >= 0) }}'
                ),
                metric_namespace=_container_namespace(settings.environment),
                metric_name=phase,
                metric_value=field,
                unit=cloudwatch.Unit.MICROSECONDS,
            )


def _container_namespace(environment: str) -> str:
    return f"{names.PROJECT}/{environment}/container"
