"""Endpoints: which variant answers, and how one takes over from another with no request lost."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra.local.sagemaker.catalog import ENDPOINT, Record
from infra.local.sagemaker.cloud import AccessDenied
from infra.local.sagemaker.errors import invalid
from infra.local.sagemaker.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.sagemaker.catalog import Properties
    from infra.local.sagemaker.launcher import Launcher, Running
    from infra.local.sagemaker.rollout import Rollout
    from infra.local.sagemaker.variant import Variant

log = logging.getLogger("sagemaker")

Status = Literal["Creating", "InService", "Updating", "RollingBack", "Failed", "Deleting"]
_SETTLED: tuple[Status, ...] = ("InService", "Failed")
DRAIN_TIMEOUT_S = 65  # longer than any invocation: `runtime.MODEL_TIMEOUT_S`


@dataclass
class _Serving:
    """What serves, and how many requests it is answering."""

    running: Running
    answering: int = 0


@dataclass
class _Fresh:
    """What is to take over, and the share of the requests that it answers already."""

    serving: _Serving
    share: float
    due: float = 0.0

    def takes_next(self) -> bool:
        """Whether the next request is its own: as evenly as its share allows."""
        self.due += self.share
        if self.due < 1:
            return False
        self.due -= 1
        return True


class Endpoint:
    """One endpoint and its state.

    Every change of state happens under one lock; bringing a server up and stopping one do not.

    Attributes
    ----------
    record
        Its name, ARN, time of creation and what `CreateEndpoint` said.
    config
        The endpoint configuration that serves, or that was to serve where nothing does.
    deployment_config
        What the latest request said of its rollout.
    """

    def __init__(self, record: Record, config: Record, *, launcher: Launcher) -> None:
        self.record = record
        self.config = config
        self.status: Status = "InService"
        self.failure_reason: str | None = None
        self.modified = record.created
        self.deployment_config: Properties = {}
        self._serving: _Serving | None = None
        self._fresh: _Fresh | None = None
        self._launcher = launcher
        self._changed = threading.Condition()

    @property
    def running(self) -> Running | None:
        """What serves at this moment."""
        serving = self._serving
        return serving.running if serving else None

    def deploy(self, config: Record, variant: Variant, rollout: Rollout) -> None:
        """Begin to serve a configuration; what serves now keeps serving until the new one is ready.

        The new one then takes over as the rollout says; an alarm on the way brings the old one back.

        Raises
        ------
        SageMakerError
            If a change is under way, or SageMaker does not make this one.
        """
        with self._changed:
            if self.status not in _SETTLED:
                raise invalid(f'Cannot update in-progress endpoint "{self.record.arn}".')
            former = self.running
            if former and variant.serverless and not former.variant.serverless:
                arn = self.record.arn
                raise invalid(f'Cannot update endpoint "{arn}" from real-time to serverless variants.')
            self._become("Updating" if former else "Creating")
        # In the request's context, which says whose alarms the rollout's are.
        run = contextvars.copy_context().run
        arguments = (self._take_over, config, variant, rollout)
        threading.Thread(target=run, args=arguments, daemon=True).start()

    def wait(self) -> Status:
        """Return the status once no change is under way."""
        with self._changed:
            self._changed.wait_for(lambda: self.status in _SETTLED)
            return self.status

    @contextmanager
    def answering(self) -> Iterator[Running]:
        """Hold what serves, so that it is not stopped before a request is answered.

        Raises
        ------
        LookupError
            If nothing serves.
        """
        with self._changed:
            serving = self._serving
            if serving is None:
                raise LookupError(self.record.name)
            if self._fresh and self._fresh.takes_next():
                serving = self._fresh.serving
            serving.answering += 1
        try:
            yield serving.running
        finally:
            with self._changed:
                serving.answering -= 1
                self._changed.notify_all()

    def retire(self) -> threading.Thread:
        """Begin to stop serving, after the requests in flight; join the thread to wait for the end.

        Raises
        ------
        SageMakerError
            If a change is under way.
        """
        with self._changed:
            if self.status not in _SETTLED:
                raise invalid(f'Cannot delete in-progress endpoint "{self.record.arn}".')
            self._become("Deleting")
            former, self._serving = self._serving, None
        thread = threading.Thread(target=self._drain, args=(former,), daemon=True)
        thread.start()
        return thread

    def _take_over(self, config: Record, variant: Variant, rollout: Rollout) -> None:
        try:
            fresh = self._launcher.launch(variant, label=f"{self.record.name}/{variant.name}")
        except (ServerError, AccessDenied) as error:
            reason = str(error)
            if isinstance(error, ServerError):
                reason = f"Production variant {variant.name} did not pass the ping health check: {reason}"
            log.error("%s: %s", self.record.name, reason)
            with self._changed:
                self.failure_reason = reason
                self._become("InService" if self._serving else "Failed")
            return
        serving = _Serving(fresh)
        if self._serving and (alarm := self._shift(serving, rollout)):
            reason = f"Rolled back from {config.name} to {self.config.name}: {alarm}"
            log.error("%s: %s", self.record.name, reason)
            with self._changed:
                self.failure_reason, self._fresh = reason, None
                self._become("RollingBack")
            self._drain(serving)
        else:
            with self._changed:
                self.config, self.failure_reason = config, None
                former, self._serving, self._fresh = self._serving, serving, None
            self._drain(former)
        with self._changed:
            self._become("InService")

    def _shift(self, serving: _Serving, rollout: Rollout) -> str | None:
        """Give what is to take over its shares of the requests; return the alarm that went off meanwhile."""
        rollout.begin()
        for stage in rollout.stages:
            with self._changed:
                self._fresh = _Fresh(serving, stage.share)
            if alarm := rollout.bake(stage.seconds):
                return alarm
        return None

    def _drain(self, former: _Serving | None) -> None:
        if former is None:
            return
        with self._changed:
            self._changed.wait_for(lambda: former.answering == 0, timeout=DRAIN_TIMEOUT_S)
        self._launcher.stop(former.running)

    def _become(self, status: Status) -> None:
        self.status = status
        self.modified = time.time()
        self._changed.notify_all()


class Endpoints:
    """All endpoints by name."""

    def __init__(self, *, launcher: Launcher) -> None:
        self._launcher = launcher
        self._endpoints: dict[str, Endpoint] = {}
        self._lock = threading.Lock()

    def create(self, record: Record, config: Record, variant: Variant, rollout: Rollout) -> Endpoint:
        """Begin to bring an endpoint up.

        Raises
        ------
        SageMakerError
            If the name is taken.
        """
        endpoint = Endpoint(record, config, launcher=self._launcher)
        with self._lock:
            if record.name in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{record.arn}".')
            self._endpoints[record.name] = endpoint
            endpoint.deploy(config, variant, rollout)
        return endpoint

    def get(self, name: str) -> Endpoint:
        """Return the endpoint of that name, or raise AWS's error."""
        with self._lock:
            endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{ENDPOINT.arn_of(name)}".')
        return endpoint

    def delete(self, name: str) -> threading.Thread:
        """Begin to delete an endpoint; join the thread to wait until it is gone."""
        draining = self.get(name).retire()

        def forget() -> None:
            draining.join()
            with self._lock:
                self._endpoints.pop(name, None)

        forgetting = threading.Thread(target=forget, daemon=True)
        forgetting.start()
        return forgetting

    def all(self) -> list[Endpoint]:
        """Every endpoint, newest first as AWS lists them."""
        with self._lock:
            return sorted(self._endpoints.values(), key=lambda each: each.record.created, reverse=True)
