"""How an update of a real-time endpoint takes over the traffic, and which alarms take it back.

Shapes: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeploymentConfig.html
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.local import alarms
from infra.local.sagemaker.catalog import mapping
from infra.local.sagemaker.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.sagemaker.catalog import Properties

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Stage:
    """A share of the requests that goes to the new variant, and for how many of the laptop's seconds."""

    share: float
    seconds: float


@dataclass(frozen=True)
class Rollout:
    """The stages of an update, in order, and the names of the alarms that end it in each of them."""

    stages: tuple[Stage, ...]
    alarms: tuple[str, ...]

    def begin(self) -> None:
        """Have the alarms forget what went off before."""
        for name in self.alarms:
            alarms.evaluate(name)

    def bake(self, seconds: float) -> str | None:
        """Wait, and return at once which alarm went off and why; None if none did."""
        deadline = time.monotonic() + seconds
        while True:
            for name in self.alarms:
                if why := alarms.firing(name):
                    return f"alarm {name} went off ({why})"
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_EVERY_S)


def rollout(config: Properties) -> Rollout:
    """Read a `DeploymentConfig`; an empty one moves all requests at once and watches nothing.

    Raises
    ------
    SageMakerError
        If it asks for what is not emulated.
    """
    rollback = mapping(config, "AutoRollbackConfiguration").get("Alarms")
    declared = rollback if isinstance(rollback, list) else []
    return Rollout(
        stages=tuple(_stages(mapping(config, "BlueGreenUpdatePolicy"))),
        alarms=tuple(str(each["AlarmName"]) for each in declared),
    )


def _stages(policy: Properties) -> Iterator[Stage]:
    routing = mapping(policy, "TrafficRoutingConfiguration")
    bake_s = _on_laptop(routing.get("WaitIntervalInSeconds"))
    with_old_fleet_s = _on_laptop(policy.get("TerminationWaitInSeconds"))
    kind = routing.get("Type", "ALL_AT_ONCE")
    if kind == "ALL_AT_ONCE":
        yield Stage(1.0, with_old_fleet_s)
    elif kind == "CANARY":
        yield Stage(_share(routing, "CanarySize"), bake_s)
        yield Stage(1.0, with_old_fleet_s)
    elif kind == "LINEAR":
        step = _share(routing, "LinearStepSize")
        for taken in range(1, math.ceil(1 / step)):
            yield Stage(taken * step, bake_s)
        yield Stage(1.0, bake_s + with_old_fleet_s)
    else:
        raise invalid(f"The laptop's SageMaker does not shift traffic by {kind}.")


def _share(routing: Properties, member: str) -> float:
    size = mapping(routing, member)
    if size.get("Type") != "CAPACITY_PERCENT":
        raise invalid(f"The laptop's SageMaker takes a {member} in CAPACITY_PERCENT only.")
    return float(str(size["Value"])) / 100


def _on_laptop(seconds: object) -> float:
    return float(str(seconds or 0)) * alarms.MINUTE_S / 60
