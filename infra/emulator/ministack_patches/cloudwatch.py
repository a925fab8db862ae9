"""What CloudWatch of ministack lacks: metric math, dimensions, missing data; SageMaker's and logged metrics.

ministack refuses alarms on metric queries. One that queries a single metric is turned into the plain form.
Those on SageMaker's metrics and on `FILL(a, 0) - FILL(b, 0)` of two are evaluated here. Of any other
expression only the name is kept: `SetAlarmState` works on such an alarm, but nothing computes it.
"""

from __future__ import annotations

import json
import operator
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ministack.core.responses import AccountScopedDict
from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

_Properties = Mapping[str, object]
_Alarm = dict[str, Any]

# A minute of SageMaker lasts one second here, in the stages of an update (`sagemaker.endpoints`) and in the
# periods of the alarms on its metrics, so that a local update does not take a quarter of an hour.
MINUTE_S = 1.0

_SAGEMAKER = "AWS/SageMaker"
_NOT_COMPUTED = "MetricMath"  # a namespace to which nothing publishes
_VALUES_KEPT = 5000  # of one metric: ministack never removes any
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

_DIFFERENCE = re.compile(r"FILL\((\w+),\s*0\)\s*-\s*FILL\((\w+),\s*0\)")  # of two metrics, by their ids
_differences: dict[str, list[Mapping[str, Any]]] = {}  # both `MetricStat`s, by the alarm's ARN


def patch() -> None:
    """Have ministack accept alarms on metric queries, and evaluate those on SageMaker's metrics here."""
    plain_record = provisioners._cw_metric_alarm_record
    evaluate_plain = cloudwatch._evaluate_alarm

    def record(name: str, properties: _Properties) -> _Alarm:
        alarm: _Alarm = plain_record(name, _without_queries(properties))
        _differences[alarm["AlarmArn"]] = _difference(properties.get("Metrics"))
        return alarm

    def evaluate_alarm(alarm: _Alarm) -> None:
        if alarm["Namespace"] == _SAGEMAKER or _differences.get(alarm["AlarmArn"]):
            _update_state(alarm)
        else:
            evaluate_plain(alarm)

    # An account's regions share their dashboards.
    cloudwatch._dashboards = AccountScopedDict()
    provisioners._cw_metric_alarm_record = record
    cloudwatch._evaluate_alarm = evaluate_alarm


def record_invocation(endpoint: str, variant: str, *, status: int, seconds: float) -> None:
    """Publish SageMaker's metrics of one invocation; `status` is 0 where the container did not answer.

    https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
    """
    kind = status // 100
    values = {
        "Invocations": 1,
        "InvocationModelErrors": int(kind != 2),  # noqa: PLR2004 - HTTP's own classes
        "Invocation4XXErrors": int(kind == 4),  # noqa: PLR2004
        "Invocation5XXErrors": int(kind == 5),  # noqa: PLR2004
        "ModelLatency": int(seconds * 1e6),
    }
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    for name, value in values.items():
        cloudwatch.record_metric(_SAGEMAKER, name, value, dimensions=dimensions)
        del _points(name, dimensions)[:-_VALUES_KEPT]


def record_embedded(line: str) -> None:
    """Publish the metrics of a log line in the embedded metric format; any other line has none."""
    if '"_aws"' not in line:
        return
    with suppress(ValueError, KeyError, TypeError):
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            namespace = directive["Namespace"]
            for names in directive["Dimensions"]:
                dimensions = {name: document[name] for name in names}
                for metric in directive["Metrics"]:
                    name = metric["Name"]
                    cloudwatch.record_metric(namespace, name, document[name], metric["Unit"], dimensions)
                    del _points(name, dimensions, namespace)[:-_VALUES_KEPT]


def evaluate(name: str) -> None:
    """Set an alarm's state by its present metrics, whatever it was before."""
    if alarm := cloudwatch._alarms.get(name):
        cloudwatch._evaluate_alarm(alarm)


def alarm_reason(name: str) -> str | None:
    """Return why an alarm is in state ALARM, by its metrics or set by hand; None if it is not."""
    alarm = cloudwatch._alarms.get(name)
    if alarm is None:
        return None
    if alarm["StateValue"] != "ALARM":
        cloudwatch._evaluate_alarm(alarm)
    return str(alarm["StateReason"]) if alarm["StateValue"] == "ALARM" else None


def _points(name: str, dimensions: Mapping[str, str], namespace: str = _SAGEMAKER) -> list[dict[str, Any]]:
    points: list[dict[str, Any]]
    points = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
    return points


def _value(alarm: _Alarm, since: float, until: float) -> float | None:
    """Return what an alarm watches, of a period, None without data."""
    if difference := _differences.get(alarm["AlarmArn"]):
        first, second = (_statistic(stat, since, until) or 0.0 for stat in difference)
        return first - second
    stat = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    return _statistic({"Metric": alarm, "Stat": stat}, since, until)


def _statistic(stat: Mapping[str, Any], since: float, until: float) -> float | None:
    """Return a metric's statistic of a period, None without data."""
    metric = stat["Metric"]
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
    points = [
        each for each in _points(metric["MetricName"], dimensions) if since <= each["Timestamp"] < until
    ]
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), stat["Stat"], points)
    return float(value) if points and value is not None else None


def _without_queries(properties: _Properties) -> _Properties:
    """Return a template's alarm in the form that ministack takes."""
    queries = properties.get("Metrics")
    if not isinstance(queries, list):
        return properties
    others = {key: value for key, value in properties.items() if key != "Metrics"}
    if len(queries) == 1 and isinstance(stat := queries[0].get("MetricStat"), Mapping):
        metric = stat["Metric"]
        kind = "ExtendedStatistic" if str(stat["Stat"]).startswith("p") else "Statistic"
        return others | {**metric, "Period": stat["Period"], kind: stat["Stat"]}
    (expression,) = [query for query in queries if "Expression" in query]
    periods = [query["MetricStat"]["Period"] for query in queries if "MetricStat" in query]
    return others | {
        "Namespace": _NOT_COMPUTED,
        "MetricName": expression.get("Label") or expression["Expression"],
        "Period": max(map(int, periods), default=60),
    }


def _difference(queries: Any) -> list[Mapping[str, Any]]:
    """Return the two metrics of SageMaker whose difference an alarm watches, none for any other alarm."""
    stats = {query["Id"]: query["MetricStat"] for query in queries or () if "MetricStat" in query}
    written = _DIFFERENCE.fullmatch("".join(query.get("Expression", "") for query in queries or ()))
    found = [stats.get(id_) for id_ in written.groups()] if written else []
    ours = [stat for stat in found if stat and stat["Metric"]["Namespace"] == _SAGEMAKER]
    return ours if len(ours) == len(found) else []


def _update_state(alarm: _Alarm) -> None:
    """Set an alarm's state by its latest periods; one without data does not breach."""
    now, period_s = time.time(), alarm["Period"] * MINUTE_S / 60
    ends = [now - period_s * ago for ago in range(alarm["EvaluationPeriods"])]
    values = [_value(alarm, end - period_s, end) for end in ends]
    breaches = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = [value for value in values if value is not None and breaches(value, alarm["Threshold"])]
    needed = alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"]
    state = "ALARM" if len(breaching) >= needed else "OK"
    if state == alarm["StateValue"]:
        return
    compared = f"{alarm['ComparisonOperator']} {alarm['Threshold']:g}"
    reason = f"Threshold Crossed: {', '.join(f'{value:g}' for value in breaching) or 'nothing'} is {compared}"
    changed = {"AlarmName": alarm["AlarmName"], "StateValue": state, "StateReason": reason}
    cloudwatch._set_alarm_state({}, changed, is_cbor=False, is_json=True)
