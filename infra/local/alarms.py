"""Alarms on metric math for ministack's CloudFormation, which refuses them.

An alarm on one metric that is written as a query is turned into the plain form, and works. One on an
expression is kept by its name, and anyone may set its state (`SetAlarmState`), but nothing computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    _Properties = Mapping[str, object]
    _Record = Callable[[str, _Properties], object]

_NOT_COMPUTED = "MetricMath"  # a namespace in which nobody publishes


def mend() -> None:
    """Have ministack take alarms whose metrics are queries."""
    provisioners._cw_metric_alarm_record = _with_queries(provisioners._cw_metric_alarm_record)


def _with_queries(record: _Record) -> _Record:
    def recorded(name: str, properties: _Properties) -> object:
        return record(name, plain(properties))

    return recorded


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
    return others | {
        "Namespace": _NOT_COMPUTED,
        "MetricName": expression.get("Label") or expression["Expression"],
    }
