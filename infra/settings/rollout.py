"""How an update of a real-time endpoint takes over the traffic: a closed family of three.

The limits are SageMaker's: docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
and deployment-guardrails-exclusions.html.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from infra.settings.checked import CHECKED

MINIMUM_TO_SPLIT = 2  # instances, below which SageMaker cannot shift a part of the traffic
SHORTEST_UPDATE_S = 600
LONGEST_UPDATE_S = 28_800
START_ALLOWANCE_S = 1800  # for bringing the new fleet up, which counts towards an update's time

SHORTEST_BAKE_S = 180  # three of the latency alarm's periods: before, it cannot go off

BakeSeconds = Annotated[int, Field(ge=SHORTEST_BAKE_S, le=3600)]
OldFleetWait = Annotated[int, Field(ge=0, le=3600)]
LatencyMs = Annotated[int, Field(ge=1, le=60_000)]  # SageMaker itself gives up after 60 s


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class AllAtOnce:
    """The new fleet takes all traffic as soon as it is healthy; alarms while it bakes roll it back.

    Without `latency_alarm_ms` there is no alarm, no bake and no way back but the next deploy.
    """

    strategy: Literal["all-at-once"] = "all-at-once"
    latency_alarm_ms: LatencyMs | None = None
    old_fleet_wait_seconds: OldFleetWait = 300  # after the alarm, on which its check depends

    @field_validator("old_fleet_wait_seconds")
    @classmethod
    def _lets_the_alarm_go_off(cls, wait_seconds: int, info: ValidationInfo) -> int:
        if info.data.get("latency_alarm_ms") is not None and wait_seconds < SHORTEST_BAKE_S:
            raise ValueError(
                f"latency_alarm_ms needs {SHORTEST_BAKE_S} seconds to go off: wait as long, or leave it out"
            )
        return wait_seconds

    @property
    def seconds(self) -> int:
        """How long an update takes once the new fleet is up."""
        return self.old_fleet_wait_seconds


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Canary:
    """A part of the traffic goes to the new fleet first; an alarm while it bakes rolls the update back.

    The old fleet stays for `old_fleet_wait_seconds` more, and until then an alarm still brings it back.
    """

    strategy: Literal["canary"]
    percent: Annotated[int, Field(ge=1, le=50)]
    bake_seconds: BakeSeconds
    latency_alarm_ms: LatencyMs
    old_fleet_wait_seconds: OldFleetWait = 300

    @property
    def seconds(self) -> int:
        """How long an update takes once the new fleet is up."""
        return self.bake_seconds + self.old_fleet_wait_seconds


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Linear:
    """The traffic moves in equal steps, each of which bakes; an alarm in any of them rolls all back."""

    strategy: Literal["linear"]
    step_percent: Annotated[int, Field(ge=10, le=50)]
    latency_alarm_ms: LatencyMs
    old_fleet_wait_seconds: OldFleetWait = 300
    bake_seconds: BakeSeconds  # last: its check depends on the two other times

    @field_validator("bake_seconds")
    @classmethod
    def _ends_in_time(cls, bake_seconds: int, info: ValidationInfo) -> int:
        if not {"step_percent", "old_fleet_wait_seconds"} <= info.data.keys():
            return bake_seconds  # those are reported by themselves
        steps = _steps(info.data["step_percent"])
        longest = (LONGEST_UPDATE_S - START_ALLOWANCE_S - int(info.data["old_fleet_wait_seconds"])) // steps
        if bake_seconds > longest:
            raise ValueError(
                f"{steps} steps of it take longer than the {LONGEST_UPDATE_S} s that SageMaker gives an "
                f"update; write at most {longest}, or larger steps"
            )
        return bake_seconds

    @property
    def seconds(self) -> int:
        """How long an update takes once the new fleet is up."""
        return _steps(self.step_percent) * self.bake_seconds + self.old_fleet_wait_seconds


Rollout = Annotated[AllAtOnce | Canary | Linear, Field(discriminator="strategy")]


def update_timeout_s(rollout: AllAtOnce | Canary | Linear) -> int:
    """After how many seconds SageMaker is to give up on an update and roll it back."""
    return min(max(SHORTEST_UPDATE_S, rollout.seconds + START_ALLOWANCE_S), LONGEST_UPDATE_S)


def _steps(percent: int) -> int:
    return math.ceil(100 / percent)
