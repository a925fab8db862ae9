"""What SageMaker tells CloudWatch of each invocation.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ministack.services import cloudwatch

from infra.local.alarms import SAGEMAKER

if TYPE_CHECKING:
    from infra.local.sagemaker.variant import Variant

_KEPT = 5000  # values of one metric: the laptop's CloudWatch forgets nothing by itself


def publish(endpoint: str, variant: Variant, *, status: int, seconds: float) -> None:
    """Count one invocation.

    Parameters
    ----------
    status
        What the container answered, 0 where it did not.
    seconds
        That it took.
    """
    kind = status // 100
    values = {
        "Invocations": 1,
        "InvocationModelErrors": int(kind != 2),  # noqa: PLR2004 - HTTP's own classes
        "Invocation4XXErrors": int(kind == 4),  # noqa: PLR2004
        "Invocation5XXErrors": int(kind == 5),  # noqa: PLR2004
        "ModelLatency": int(seconds * 1e6),
    }
    dimensions = {"EndpointName": endpoint, "VariantName": variant.name}
    for name, value in values.items():
        cloudwatch.record_metric(SAGEMAKER, name, value, dimensions=dimensions)
        kept = cloudwatch._metric_bucket((SAGEMAKER, name, cloudwatch._dims_key(dimensions)))
        del kept[:-_KEPT]
