"""What SageMaker measures of an endpoint.

Names and units are those of docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.names import VARIANT_NAME

MICROSECONDS_PER_MS = 1000  # ModelLatency and OverheadLatency are in microseconds


class EndpointMetrics:
    """The metrics of one endpoint's one variant.

    Parameters
    ----------
    name
        The endpoint's.
    period
        Over which each is summed up.
    """

    def __init__(self, name: str, *, period: cdk.Duration) -> None:
        self._dimensions = {"EndpointName": name, "VariantName": VARIANT_NAME}
        self._period = period

    def metric(
        self, name: str, *, statistic: str, label: str | None = None, namespace: str = "AWS/SageMaker"
    ) -> cloudwatch.Metric:
        """Return one metric."""
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map=self._dimensions,
            statistic=statistic,
            period=self._period,
            label=label,
        )

    def server_errors(self) -> cloudwatch.Metric:
        """Return how many requests SageMaker itself failed."""
        return self.metric("Invocation5XXErrors", statistic="Sum", label="Endpoint 5XX")

    def model_faults(self) -> cloudwatch.MathExpression:
        """Return how many answers of the container are nobody's fault but its own.

        Every answer but 2XX counts as a model error, a caller's broken image too: those are taken out.
        """
        return cloudwatch.MathExpression(
            expression="FILL(failed, 0) - FILL(callers, 0)",
            label="Model errors that are not the caller's",
            period=self._period,
            using_metrics={
                "failed": self.metric("InvocationModelErrors", statistic="Sum"),
                "callers": self.metric("Invocation4XXErrors", statistic="Sum"),
            },
        )

    def model_latency(self, statistic: str) -> cloudwatch.Metric:
        """Return how long the container took, in microseconds."""
        return self.metric("ModelLatency", statistic=statistic, label=f"Model {statistic}")

    def instances(self) -> cloudwatch.MathExpression:
        """Return how many instances serve.

        SageMaker has no such metric. Each instance reports its own processor use once a minute, so the number
        of these reports in a minute is the number of instances. **Unverified on a real account.**
        """
        return cloudwatch.MathExpression(
            expression="reports / (PERIOD(reports) / 60)",
            label="Instances",
            period=self._period,
            using_metrics={
                "reports": self.metric(
                    "CPUUtilization", statistic="SampleCount", namespace="/aws/sagemaker/Endpoints"
                )
            },
        )
