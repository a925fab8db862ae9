"""CloudWatch alarms as ministack lacks them: metric math, dimensions, missing data, and SageMaker's minutes.

An alarm on one metric that is written as a query is turned into the plain form. Those on SageMaker's metrics,
sums and differences of them too, are evaluated here; one on any other expression is kept by its name, and
anyone may set its state (`SetAlarmState`), but nothing computes it.
"""

from __future__ import annotations

import ast
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    _Properties = Mapping[str, object]
    _Alarm = dict[str, Any]
    _Record = Callable[[str, _Properties], _Alarm]
    _Evaluate = Callable[[_Alarm], None]

SAGEMAKER = "AWS/SageMaker"
# Nobody waits a quarter of an hour on a laptop: so long does a minute of SageMaker last here, in the stages
# of an update (`infra.local.sagemaker.rollout`) and in the periods of the alarms on its metrics.
MINUTE_S = 1.0

_NOT_COMPUTED = "MetricMath"  # a namespace in which nobody publishes
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


@dataclass(frozen=True)
class _Stat:
    """One metric's statistic."""

    name: str
    dimensions: Mapping[str, str]
    statistic: str

    def value(self, since: float, until: float) -> float | None:
        """Return it over a time, None without data."""
        key = (SAGEMAKER, self.name, cloudwatch._dims_key(self.dimensions))
        points = [each for each in cloudwatch._metric_bucket(key) if since <= each["Timestamp"] < until]
        found = cloudwatch._stat_value(cloudwatch._calc_stats(points), self.statistic, points)
        return float(found) if points and found is not None else None


@dataclass(frozen=True)
class _Expression:
    """Metric math over statistics by their ids."""

    tree: ast.expr
    stats: Mapping[str, _Stat]

    def value(self, since: float, until: float) -> float | None:
        return _compute(self.tree, {id_: stat.value(since, until) for id_, stat in self.stats.items()})


_expressions: dict[str, _Expression] = {}  # by the alarm's ARN


def mend() -> None:
    """Have ministack take alarms whose metrics are queries, and evaluate those on SageMaker's here."""
    provisioners._cw_metric_alarm_record = _with_queries(provisioners._cw_metric_alarm_record)
    cloudwatch._evaluate_alarm = _with_sagemakers(cloudwatch._evaluate_alarm)


def firing(name: str) -> str | None:
    """Evaluate an alarm, and return why it is in ALARM; None if it is not. A state set by hand counts too."""
    alarm = cloudwatch._alarms.get(name)
    if alarm is None:
        return None
    if alarm["StateValue"] != "ALARM":
        cloudwatch._evaluate_alarm(alarm)
    return str(alarm["StateReason"]) if alarm["StateValue"] == "ALARM" else None


def evaluate(name: str) -> None:
    """Evaluate an alarm by what its metrics are now."""
    if alarm := cloudwatch._alarms.get(name):
        cloudwatch._evaluate_alarm(alarm)


def plain(properties: _Properties) -> _Properties:
    """Return an alarm's properties without queries.

    Parameters
    ----------
    properties
        As in a template, all references resolved.
    """
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


def _with_queries(record: _Record) -> _Record:
    def recorded(name: str, properties: _Properties) -> _Alarm:
        alarm = record(name, plain(properties))
        queries = properties.get("Metrics")
        computed = _expression(queries) if isinstance(queries, list) else None
        if computed:
            _expressions[alarm["AlarmArn"]] = computed
        else:
            _expressions.pop(alarm["AlarmArn"], None)
        return alarm

    return recorded


def _expression(queries: Sequence[Mapping[str, Any]]) -> _Expression | None:
    """Return what can be computed of an alarm's queries; None of other metrics' or functions' math."""
    written = [query["Expression"] for query in queries if "Expression" in query]
    stats = {query["Id"]: query["MetricStat"] for query in queries if "MetricStat" in query}
    if len(written) != 1 or any(stat["Metric"]["Namespace"] != SAGEMAKER for stat in stats.values()):
        return None
    try:
        tree = ast.parse(written[0], mode="eval").body
        _compute(tree, dict.fromkeys(stats, 0.0))
    except (SyntaxError, LookupError):
        return None
    return _Expression(tree, {id_: _stat(stat["Metric"], stat["Stat"]) for id_, stat in stats.items()})


def _stat(metric: Mapping[str, Any], statistic: str) -> _Stat:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
    return _Stat(metric["MetricName"], dimensions, statistic)


def _compute(tree: ast.expr, values: Mapping[str, float | None]) -> float | None:
    """Evaluate metric math, None where data are missing; raise LookupError for what is not known here."""
    match tree:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, default]):
            value = _compute(filled, values)
            return _compute(default, values) if value is None else value
        case ast.BinOp(left=left, op=sign, right=right):
            first, second = _compute(left, values), _compute(right, values)
            known = _ARITHMETIC[type(sign)]
            return None if first is None or second is None else known(first, second)
        case _:
            raise LookupError(ast.dump(tree))


def _with_sagemakers(evaluate_plain: _Evaluate) -> _Evaluate:
    def evaluated(alarm: _Alarm) -> None:
        metric: _Stat | _Expression | None = _expressions.get(alarm["AlarmArn"])
        if metric is None and alarm["Namespace"] == SAGEMAKER:
            metric = _stat(alarm, alarm.get("ExtendedStatistic") or alarm["Statistic"])
        if metric is None:
            evaluate_plain(alarm)
        else:
            _judge(alarm, metric)

    return evaluated


def _judge(alarm: _Alarm, metric: _Stat | _Expression) -> None:
    """Set the state of an alarm by its latest periods; one without data does not breach."""
    now, period_s = time.time(), alarm["Period"] * MINUTE_S / 60
    ends = [now - period_s * ago for ago in range(alarm["EvaluationPeriods"])]
    values = [metric.value(end - period_s, end) for end in ends]
    above = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = [value for value in values if value is not None and above(value, alarm["Threshold"])]
    wanted = alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"]
    state = "ALARM" if len(breaching) >= wanted else "OK"
    if state == alarm["StateValue"]:
        return
    compared = f"{alarm['ComparisonOperator']} {alarm['Threshold']:g}"
    reason = f"Threshold Crossed: {', '.join(f'{value:g}' for value in breaching) or 'nothing'} is {compared}"
    before = alarm["StateValue"]
    alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(now)}
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)
