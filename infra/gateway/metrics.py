"""What is counted of the model's answers, in CloudWatch's embedded metric format.

A log line of this form becomes metrics without a call to CloudWatch, and costs a request no time:
docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
The names are here for whoever draws or watches them too; standard library only.
"""

from __future__ import annotations

from typing import Final, Literal

NAMESPACE = "tumor-detector"
DIMENSION = "Endpoint"  # the release's version is in the line, but no dimension: each would cost anew

YES: Final = "PredictionsYes"
NO: Final = "PredictionsNo"
REFUSED: Final = "Refusals"  # an image that the model or its rules say is no brain MRI
OUTCOMES = (YES, NO, REFUSED)

# How the scheduled canary's request ids begin. API Gateway makes all others, of 0 to 9 and a to f, so nobody
# can hide from the count; the canary's own answers would hide a shift of everybody else's.
CANARY = "golden-"

Outcome = Literal["PredictionsYes", "PredictionsNo", "Refusals"]
OF_A_LABEL: dict[object, Outcome] = {"YES": YES, "NO": NO}


def of(outcome: Outcome, *, endpoint_name: str, at_ms: int) -> dict[str, object]:
    """Return the members that make a log line count one judged image.

    Each line carries all of `OUTCOMES`, as 1 or 0, so that shares can be taken of any period with an image in
    it: a metric that is absent is no 0.
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
