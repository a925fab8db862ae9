"""A shadow release compared with the served one, by the answers of both to the same requests.

SageMaker captures both under one inference id, which is **unverified on AWS**. How often they failed and how
long they took is in its metrics of the variants, from the hour of the shadow's first answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.names import SHADOW_VARIANT_NAME, VARIANT_NAME
from model.evaluation.metrics import CONFIDENCE, Estimate
from scripts.console import step
from scripts.monitoring.accuracy import share
from scripts.monitoring.monitor import metric_values
from scripts.monitoring.records import Faults, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from infra.config import Settings
    from infra.release import Release

    Answer = tuple[datetime, str | None, float]  # its class and probability of YES; a week may have a million

_LISTED = 10  # ids that the text names; JSON has all
_METRICS = {
    "requests": ("Invocations", "Sum"),
    "refused": ("Invocation4XXErrors", "Sum"),
    "errors": ("InvocationModelErrors", "Sum"),
    "total_us": ("ModelLatency", "Sum"),
    "timed": ("ModelLatency", "SampleCount"),
    "p90_us": ("ModelLatency", "p90"),
}


@dataclass(frozen=True, kw_only=True)
class ShadowComparison:
    """What two releases, named by their artifacts' hashes, answered to the same requests.

    `hours` are those of the clock with at least one pair. `difference` is the mean of the shadow's
    probability of YES less the served one's, `largest` that of the pair where it is farthest from 0.
    `alone` are the answers, of what serves and of the shadow, without the other's: it was not copied, not
    captured, refused or a fault. `traffic` is by variant: `refused` counts 4XX, `failed` what else is not
    2XX, `p90_ms` is the worst hour's. `disagreements` have the id and both probabilities.
    """

    environment: str
    since: str
    served: str
    shadow: str
    pairs: int
    hours: int
    agreement: Estimate | None
    difference: Estimate | None
    largest: float | None
    alone: tuple[int, int]
    traffic: Mapping[str, Mapping[str, float | None]]
    disagreements: Sequence[tuple[str, float, float]]
    unusable: Sequence[str]

    def outcome(self) -> dict[str, Any]:
        """Return what a promotion looks at, small enough for a tag."""
        return asdict(replace(self, disagreements=[], unusable=[]))


def compare(settings: Settings, *, served: Release, shadow: Release, since: datetime) -> ShadowComparison:
    """Pair the answers of what serves and of its shadow since a time by their inference ids."""
    faults, alone = Faults(), 0
    unpaired = dict(_answers(settings, shadow, SHADOW_VARIANT_NAME, since, faults))
    times = [time for time, *_ in unpaired.values()]
    first, last = min(times, default=since), max(times, default=since)
    pairs: dict[str, tuple[Answer, Answer]] = {}
    for id_, answer in _answers(settings, served, VARIANT_NAME, since, faults):
        if other := unpaired.pop(id_, None):
            pairs[id_] = answer, other
        elif first <= answer[0] <= last:  # otherwise there was no shadow
            alone += 1
    differences = [other - answer for (_, _, answer), (_, _, other) in pairs.values()]
    return ShadowComparison(
        environment=settings.environment,
        since=since.isoformat(timespec="seconds"),
        served=served.model.sha256,
        shadow=shadow.model.sha256,
        pairs=len(pairs),
        hours=len({time.replace(minute=0, second=0, microsecond=0) for (time, *_), _ in pairs.values()}),
        agreement=share(np.array([answer[1] == other[1] for answer, other in pairs.values()])),
        difference=_mean(differences),
        largest=max(differences, key=abs, default=None),
        alone=(alone, len(unpaired)),
        traffic={
            each: _traffic(settings.endpoint_name, each, first)
            for each in (VARIANT_NAME, SHADOW_VARIANT_NAME)
        },
        disagreements=sorted((id_, a[2], b[2]) for id_, (a, b) in pairs.items() if a[1] != b[1]),
        unusable=faults.lines(),
    )


def _answers(
    settings: Settings, release: Release, variant: str, since: datetime, faults: Faults
) -> Iterator[tuple[str, Answer]]:
    """Yield a variant's answers by inference id; those of other releases are faults."""
    source = records(settings, since=since, variant=variant)
    source.faults = faults
    with step(f"reading {source}"):
        for each in source:
            if each.model_sha256 == release.model.sha256:
                yield each.id, (each.time, each.label, float(each.statistics["probability"]))
            else:
                faults.add(f"answers of {variant} by other models", each.id)


def _mean(values: Sequence[float]) -> Estimate | None:
    """Return the mean with its normal interval, which takes requests for independent."""
    if len(values) < 2:  # noqa: PLR2004 - without a spread there is no interval
        return None
    mean, error = fmean(values), stdev(values) / len(values) ** 0.5
    spread = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * error
    return Estimate(mean, mean - spread, mean + spread)


def _traffic(endpoint: str, variant: str, since: datetime) -> dict[str, float | None]:
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    found = metric_values("AWS/SageMaker", _METRICS, dimensions, since=since)
    refused, timed = sum(found["refused"]), sum(found["timed"])
    return {
        "requests": sum(found["requests"]),
        "refused": refused,
        "failed": sum(found["errors"]) - refused,
        "mean_ms": sum(found["total_us"]) / timed / 1000 if timed else None,
        "p90_ms": max(found["p90_us"]) / 1000 if found["p90_us"] else None,
    }


def table(found: ShadowComparison) -> str:
    """Return the comparison as text."""
    lines = [
        f"shadow {found.shadow[:12]} of {found.served[:12]} in {found.environment}, since {found.since}",
        f"{found.pairs} pairs of answers in {found.hours} hours",
        f"  the same class: {found.agreement}",
        f"  p(YES), shadow less served: {found.difference}, at most {found.largest}",
        f"{found.alone[0]} answers without the shadow's meanwhile, {found.alone[1]} of the shadow alone",
    ]
    for variant, traffic in found.traffic.items():
        told = (f"{name} {value if value is None else round(value, 1)}" for name, value in traffic.items())
        lines.append(f"{variant}: {', '.join(told)}")
    if found.disagreements:
        ids = [f"{id_} ({answer:.2f}, {other:.2f})" for id_, answer, other in found.disagreements[:_LISTED]]
        lines.append(f"{len(found.disagreements)} of another class: {', '.join(ids)}")
    return "\n".join([*lines, *(f"not used: {line}" for line in found.unusable)])
