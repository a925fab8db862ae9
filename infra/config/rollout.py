"""How an update of a real-time endpoint moves traffic to the new fleet.

The limits are SageMaker's: docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
and deployment-guardrails-exclusions.html.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from infra.config.base import STRICT

MINIMUM_TO_SPLIT = 2  # instances, below which SageMaker cannot move a part of the traffic
SHORTEST_UPDATE_S = 600
LONGEST_UPDATE_S = 28_800
START_ALLOWANCE_S = 1800  # to start the new fleet, which counts towards an update's time
SHORTEST_BAKE_S = 180  # three periods of the latency alarm: it cannot go off any earlier

BakeSeconds = Annotated[int, Field(ge=SHORTEST_BAKE_S, le=3600)]
OldFleetWait = Annotated[int, Field(ge=0, le=3600)]
LatencyMs = Annotated[int, Field(ge=1, le=60_000)]  # SageMaker itself gives up after 60 s
OLD_FLEET_WAIT_S = 300  # how long the old fleet stays, where a file does not set it


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AllAtOnce:
    """The new fleet takes all traffic once it is healthy; alarms roll back until the old fleet is removed.

    Without `latency_alarm_ms` there is no alarm, and a bad update stays until the next deploy.
    """

    strategy: Literal["all-at-once"] = "all-at-once"
    latency_alarm_ms: LatencyMs | None = None
    old_fleet_wait_seconds: OldFleetWait = OLD_FLEET_WAIT_S


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Canary:
    """A part of the traffic moves first; an alarm while it bakes rolls the update back.

    The old fleet stays for `old_fleet_wait_seconds` more, and until then an alarm still rolls back to it.
    """

    strategy: Literal["canary"]
    percent: Annotated[int, Field(ge=1, le=50)]
    bake_seconds: BakeSeconds
    latency_alarm_ms: LatencyMs
    old_fleet_wait_seconds: OldFleetWait = OLD_FLEET_WAIT_S


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Linear:
    """The traffic moves in equal steps, each of which bakes; an alarm in any of them rolls all back."""

    strategy: Literal["linear"]
    step_percent: Annotated[int, Field(ge=10, le=50)]
    bake_seconds: BakeSeconds
    latency_alarm_ms: LatencyMs
    old_fleet_wait_seconds: OldFleetWait = OLD_FLEET_WAIT_S


Rollout = Annotated[AllAtOnce | Canary | Linear, Field(discriminator="strategy")]


def update_timeout_s(rollout: AllAtOnce | Canary | Linear) -> int:
    """Return after how many seconds SageMaker is to give up on an update and roll it back."""
    match rollout:
        case AllAtOnce():
            bake_s = 0
        case Canary():
            bake_s = rollout.bake_seconds
        case Linear():
            bake_s = linear_steps(rollout.step_percent) * rollout.bake_seconds
    seconds = START_ALLOWANCE_S + bake_s + rollout.old_fleet_wait_seconds
    return min(max(SHORTEST_UPDATE_S, seconds), LONGEST_UPDATE_S)


def linear_steps(percent: int) -> int:
    """Return how many steps of `percent` move all traffic."""
    return math.ceil(100 / percent)
