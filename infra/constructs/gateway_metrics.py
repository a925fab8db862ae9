"""What API Gateway, its Lambda and the Lambda's own lines say of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_cloudwatch as cloudwatch

from infra import names

if TYPE_CHECKING:
    import aws_cdk as cdk

# What the Lambda's embedded metric lines are called, as in its own infra/gateway/metrics.py: it cannot be
# imported from here, and a test compares the two.
NAMESPACE = "tumor-detector"
ENDPOINT_DIMENSION = "Endpoint"
PREDICTION_METRICS = {"YES": "PredictionsYes", "NO": "PredictionsNo"}
REFUSAL_METRIC = "Refusals"


class GatewayMetrics:
    """The metrics of one environment's gateway, found by names.

    Parameters
    ----------
    period
        Over which each is summed up.
    """

    def __init__(self, environment: str, *, endpoint_name: str, period: cdk.Duration) -> None:
        self._environment = environment
        self._endpoint = endpoint_name
        self._period = period

    def api(self, name: str, *, statistic: str, label: str | None = None) -> cloudwatch.Metric:
        """Return a metric of the stage.

        docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
        """
        dimensions = {"ApiName": names.api(self._environment), "Stage": names.STAGE_NAME}
        return self._metric("AWS/ApiGateway", name, dimensions, statistic, label)

    def function(self, name: str, *, statistic: str, label: str | None = None) -> cloudwatch.Metric:
        """Return a metric of the Lambda.

        docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        """
        dimensions = {"FunctionName": names.function(self._environment)}
        return self._metric("AWS/Lambda", name, dimensions, statistic, label)

    def predictions(self, label: str) -> cloudwatch.Metric:
        """Return how often the answer was this class, ``"YES"`` or ``"NO"``."""
        return self._answers(PREDICTION_METRICS[label], label)

    def refusals(self) -> cloudwatch.Metric:
        """Return how often an image was refused as no brain MRI."""
        return self._answers(REFUSAL_METRIC, "Refused")

    def _answers(self, name: str, label: str) -> cloudwatch.Metric:
        return self._metric(NAMESPACE, name, {ENDPOINT_DIMENSION: self._endpoint}, "Sum", label)

    def _metric(
        self, namespace: str, name: str, dimensions: dict[str, str], statistic: str, label: str | None
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map=dimensions,
            statistic=statistic,
            period=self._period,
            label=label,
        )
