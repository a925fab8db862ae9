"""Endpoints: which variant answers, and how another takes over without losing a request.

An update of a real-time endpoint can shift the traffic in stages, and alarms can roll it back:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeploymentConfig.html
"""

from __future__ import annotations

import contextvars
import logging
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from infra.config.rollout import MINIMUM_TO_SPLIT
from infra.emulator.ministack_patches import cloudwatch
from infra.emulator.ministack_patches.iam import AccessDenied
from infra.emulator.sagemaker.launcher import Shadow
from infra.emulator.sagemaker.resources import ENDPOINT, Resource, ServerError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.emulator.sagemaker.launcher import Launcher, Running
    from infra.emulator.sagemaker.resources import Variant
    from infra.emulator.validation.rules import Json

log = logging.getLogger("sagemaker")

Status = Literal["Creating", "InService", "Updating", "RollingBack", "Failed", "Deleting"]
_SETTLED: tuple[Status, ...] = ("InService", "Failed")
_ALARM_POLL_S = 0.1
_DRAIN_TIMEOUT_S = 65  # longer than any invocation: `api.MODEL_TIMEOUT_S`


@dataclass(frozen=True)
class Stage:
    """A share of the requests that goes to the new variant, and for how many real seconds."""

    share: float
    seconds: float


@dataclass(frozen=True)
class Rollout:
    """The stages of an update, in order, and the names of the alarms that end it in each of them."""

    stages: tuple[Stage, ...]
    alarms: tuple[str, ...]

    @classmethod
    def read(cls, config: Json) -> Rollout:
        """Read a `DeploymentConfig`; an empty one shifts all requests at once and watches no alarm."""
        alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        return cls(
            stages=tuple(_stages(config.get("BlueGreenUpdatePolicy", {}))),
            alarms=tuple(each["AlarmName"] for each in alarms),
        )

    def begin(self) -> None:
        """Evaluate the alarms again, so that none of an earlier update ends this one."""
        for name in self.alarms:
            cloudwatch.evaluate(name)

    def bake(self, seconds: float) -> str | None:
        """Wait, and return at once which alarm went off and why; None if none did."""
        deadline = time.monotonic() + seconds
        while True:
            for name in self.alarms:
                if reason := cloudwatch.alarm_reason(name):
                    return f"alarm {name} went off ({reason})"
            if time.monotonic() >= deadline:
                return None
            time.sleep(_ALARM_POLL_S)


@dataclass
class _Fleet:
    """A running variant, how many requests it is answering, and the share of new ones that it gets."""

    running: Running
    in_flight: int = 0
    share: float = 1.0
    credit: float = 0.0
    asleep: bool = False  # its server is stopped, as there is no instance

    def takes_next(self) -> bool:
        """Whether the next request goes to this fleet: as evenly as its share allows."""
        self.credit += self.share
        if self.credit < 1:
            return False
        self.credit -= 1
        return True


class Endpoint(Resource):
    """One endpoint and its state.

    Every change of state happens under one lock; starting and stopping a server do not.
    """

    def __init__(self, request: Json, config: Resource, *, launcher: Launcher) -> None:
        super().__init__(ENDPOINT, request)
        self.config = config
        self.status: Status = "InService"
        self.failure_reason: str | None = None
        self.modified = self.created
        self.deployment_config: Json = {}
        self.scalable = False  # a target of Application Auto Scaling
        self.instance_count: int | None = None  # as auto scaling has set it
        self._current: _Fleet | None = None
        self._next: _Fleet | None = None
        self._launcher = launcher
        self._changed = threading.Condition()

    @property
    def running(self) -> Running | None:
        """The variant that serves now, if any."""
        current = self._current
        return current.running if current else None

    def summary(self) -> dict[str, object]:
        """Return the members that both a list and a description show."""
        return super().summary() | {"EndpointStatus": self.status, "LastModifiedTime": self.modified}

    def deploy(self, config: Resource, variant: Variant, deployment: Json) -> None:
        """Begin to serve a configuration; the present one keeps serving until the new one is ready.

        The new one then takes over as the `DeploymentConfig` specifies; one of its alarms brings the old one
        back.
        """
        rollout = Rollout.read(deployment)
        with self._changed:
            if self.status not in _SETTLED:
                raise invalid(f'Cannot update in-progress endpoint "{self.arn}".')
            former = self.running
            if former and variant.serverless and not former.variant.serverless:
                raise invalid(f'Cannot update endpoint "{self.arn}" from real-time to serverless variants.')
            if len(rollout.stages) > 1 and variant.instances < MINIMUM_TO_SPLIT:
                raise invalid("Canary and linear traffic shifting need at least 2 instances.")
            if former and deployment and former.variant.name != variant.name:
                raise invalid("With a deployment configuration the names of the variants must stay.")
            self.deployment_config = deployment
            self._set_status("Updating" if former else "Creating")
        in_background(self._take_over, config, variant, rollout)

    def wait(self) -> Status:
        """Return the status once no change is under way."""
        with self._changed:
            self._changed.wait_for(lambda: self.status in _SETTLED)
            return self.status

    @contextmanager
    def answering(self) -> Iterator[Running]:
        """Keep the serving variant up until a request is answered; raise LookupError if none serves."""
        with self._taken() as fleet:
            yield fleet.running

    @contextmanager
    def _taken(self) -> Iterator[_Fleet]:
        with self._changed:
            fleet = self._current
            if fleet is None:
                raise LookupError(self.name)
            if self._next and self._next.takes_next():
                fleet = self._next
            fleet.in_flight += 1
        try:
            yield fleet
        finally:
            with self._changed:
                fleet.in_flight -= 1
                self._changed.notify_all()

    def retire(self, *, then: Callable[[], None]) -> threading.Thread:
        """Begin to stop serving, after the requests in flight; join the thread to wait for the end.

        `then` is called at the end. Refused while a change is under way.
        """
        with self._changed:
            if self.status not in _SETTLED:
                raise invalid(f'Cannot delete in-progress endpoint "{self.arn}".')
            self._set_status("Deleting")
            former, self._current = self._current, None

        def stop() -> None:
            self._drain(former)
            then()

        return in_background(stop)

    def _take_over(self, config: Resource, variant: Variant, rollout: Rollout) -> None:
        try:
            started = self._start(variant)
        except (ServerError, AccessDenied) as error:
            reason = str(error)
            log.error("%s: %s", self.name, reason)
            with self._changed:
                self.failure_reason = reason
                self._set_status("InService" if self._current else "Failed")
            return
        fleet = _Fleet(started)
        if self._current and (alarm := self._move_traffic(fleet, rollout)):
            reason = f"Rolled back from {config.name} to {self.config.name}: {alarm}"
            log.error("%s: %s", self.name, reason)
            with self._changed:
                self.failure_reason, self._next = reason, None
                self._set_status("RollingBack")
            self._drain(fleet)
        else:
            with self._changed:
                self.config, self.failure_reason = config, None
                former, self._current, self._next = self._current, fleet, None
            self._drain(former)
        with self._changed:
            self._set_status("InService")

    def _start(self, variant: Variant) -> Running:
        """Start a variant and its shadow.

        A shadow that does not start fails the endpoint as any variant does, which is **unverified on AWS**.
        """
        running = self._launch(variant)
        if variant.shadow is None:
            return running
        try:
            shadow = self._launch(variant.shadow)
        except BaseException:
            self._launcher.stop(running)
            raise
        return replace(running, shadow=Shadow(shadow, share=variant.shadow.weight / (variant.weight or 1)))

    def _launch(self, variant: Variant) -> Running:
        try:
            return self._launcher.launch(variant, label=f"{self.name}/{variant.name}")
        except ServerError as error:
            failed = f"Production variant {variant.name} did not pass the ping health check"
            raise ServerError(f"{failed}: {error}") from error

    def _move_traffic(self, fleet: _Fleet, rollout: Rollout) -> str | None:
        """Give a fleet its shares of the requests, stage by stage; return the alarm that went off."""
        rollout.begin()
        for stage in rollout.stages:
            with self._changed:
                fleet.share, fleet.credit = stage.share, 0.0
                self._next = fleet
            if alarm := rollout.bake(stage.seconds):
                return alarm
        return None

    def _drain(self, former: _Fleet | None) -> None:
        if former is None:
            return
        with self._changed:
            self._changed.wait_for(lambda: former.in_flight == 0, timeout=_DRAIN_TIMEOUT_S)
        if not former.asleep:
            self._launcher.stop(former.running)

    def _set_status(self, status: Status) -> None:
        self.status = status
        self.modified = time.time()
        self._changed.notify_all()


def in_background(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Run a function on a thread in the request's context, which has the region of all that it uses."""
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(target, *arguments), daemon=True)
    thread.start()
    return thread


def _stages(policy: Json) -> list[Stage]:
    routing = policy.get("TrafficRoutingConfiguration", {})
    bake_s = _real_seconds(routing.get("WaitIntervalInSeconds", 0))
    termination_wait_s = _real_seconds(policy.get("TerminationWaitInSeconds", 0))
    match routing.get("Type"):
        case "CANARY":
            return [Stage(_share(routing, "CanarySize"), bake_s), Stage(1.0, termination_wait_s)]
        case "LINEAR":
            step = _share(routing, "LinearStepSize")
            shares = [number * step for number in range(1, math.ceil(1 / step))]
            return [*(Stage(share, bake_s) for share in shares), Stage(1.0, bake_s + termination_wait_s)]
    return [Stage(1.0, termination_wait_s)]


def _share(routing: Json, member: str) -> float:
    if routing[member]["Type"] != "CAPACITY_PERCENT":
        raise invalid(f"The emulated SageMaker takes a {member} in CAPACITY_PERCENT only.")
    percent: int = routing[member]["Value"]
    return percent / 100


def _real_seconds(seconds: int) -> float:
    return seconds * cloudwatch.MINUTE_S / 60
