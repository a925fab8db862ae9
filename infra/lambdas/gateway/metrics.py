"""Counts predictions and refusals in CloudWatch's embedded metric format; standard library only.

A log line of this form becomes metrics without a call to CloudWatch:
docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
"""

from __future__ import annotations

from typing import Final, Literal

NAMESPACE = "tumor-detector"
# The model's version is in the log line but not a dimension: each would be billed as a new metric.
DIMENSION = "Endpoint"

YES: Final = "PredictionsYes"
NO: Final = "PredictionsNo"
REFUSED: Final = "Refusals"  # images that are not brain MRIs
OUTCOMES = (YES, NO, REFUSED)

# Prefix of the request ids of the scheduled canary and the smoke test, whose predictions would mask drift in
# everybody else's. They invoke the Lambda without API Gateway, through which no id of this form is taken.
UNCOUNTED = "golden-"

Outcome = Literal["PredictionsYes", "PredictionsNo", "Refusals"]
OF_A_LABEL: dict[object, Outcome] = {"YES": YES, "NO": NO}


def members(outcome: Outcome, *, endpoint_name: str, at_ms: int) -> dict[str, object]:
    """Return the members that make a log line count one image.

    Each line carries every one of `OUTCOMES`, as 1 or 0: a missing metric would not count as 0 in a share.
    """
    return {
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [[DIMENSION]],
                    "Metrics": [{"Name": name, "Unit": "Count"} for name in OUTCOMES],
                }
            ],
        },
        DIMENSION: endpoint_name,
        **{name: int(name == outcome) for name in OUTCOMES},
    }
