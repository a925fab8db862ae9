"""Asynchronous inference: a queue before an endpoint, whose server runs only while there is work.

Scaling is emulated by rule, not by CloudWatch: a backlog starts the server, and none for `IDLE_S` stops it.
docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html. **Unverified on AWS**: the names of answers and
failures, what a failure's file holds, and all members of a message.
"""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
import uuid
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from infra.emulator.ministack_patches.app import Answer, region
from infra.emulator.sagemaker.endpoints import Endpoint, in_background
from infra.emulator.sagemaker.execution_role import REFUSALS, ExecutionRole
from infra.emulator.sagemaker.resources import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.emulator.sagemaker.launcher import Launcher, Running
    from infra.emulator.sagemaker.resources import Resource, Variant
    from infra.emulator.validation.rules import Json

log = logging.getLogger("sagemaker")

CONFIG = "AsyncInferenceConfig"
IDLE_S = 5.0  # without a backlog, until the server is stopped; AWS takes minutes
_TIMEOUT_S = 900  # default of botocore's InvocationTimeoutSeconds
_CONCURRENT = 4  # where the configuration names no number; SageMaker chooses one


class AsyncEndpoint(Endpoint):
    """An endpoint with a queue, which is worked off, as the model's role, until the endpoint is deleted."""

    def __init__(self, request: Json, config: Resource, *, launcher: Launcher) -> None:
        super().__init__(request, config, launcher=launcher)
        self._role = ""
        self._waiting: queue.Queue[tuple[Json, str, str]] = queue.Queue()  # and where the result goes
        self._waking = threading.Lock()
        self._worked = time.monotonic()

    def deploy(self, config: Resource, variant: Variant, deployment: Json) -> None:
        """Begin to serve a configuration, and with the first one to work."""
        super().deploy(config, variant, deployment)
        client = config.properties[CONFIG].get("ClientConfig", {})
        if not self._role:
            for _ in range(client.get("MaxConcurrentInvocationsPerInstance", _CONCURRENT)):
                in_background(self._work)
        self._role = variant.role

    def retire(self, *, then: Callable[[], None]) -> threading.Thread:
        """Do as any endpoint; what waits fails before `then` is called."""

        def fail_and_end() -> None:
            self._waiting.join()
            then()

        return super().retire(then=fail_and_end)

    def put(self, request: Json) -> Answer:
        """Queue one invocation, and answer where its result will be."""
        output, name = self._config["OutputConfig"], uuid.uuid4()
        answer = f"{output['S3OutputPath']}/{name}.out"
        failure = f"{output.get('S3FailurePath', output['S3OutputPath'])}/{name}-error.out"
        self._waiting.put((request, answer, failure))
        places = {"OutputLocation": answer, "FailureLocation": failure}
        headers = {f"X-Amzn-SageMaker-{place}": url for place, url in places.items()}
        body = json.dumps({"InferenceId": request.get("InferenceId", str(name))})
        return HTTPStatus.ACCEPTED, {"Content-Type": "application/json", **headers}, body.encode()

    @property
    def _config(self) -> Json:
        config: Json = self.config.properties[CONFIG]
        return config

    def _work(self) -> None:
        while True:
            try:
                request, answer, failure = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                if self.status == "Deleting":
                    return
                self._sleep()
                continue
            try:
                self._answer(request, answer, failure)
            except Exception as error:  # whatever went wrong, the next one must be answered
                log.error("%s: the result of %s is lost: %s", self.name, request["InputLocation"], error)
            self._worked = time.monotonic()
            self._waiting.task_done()

    def _sleep(self) -> None:
        """Stop the server if it answers nothing; the variant stays."""
        with self._changed:
            fleet = self._current
            if self.status != "InService" or fleet is None or fleet.asleep or fleet.in_flight:
                return
            if time.monotonic() < self._worked + IDLE_S:
                return
            fleet.asleep, self.instance_count = True, 0
            running = fleet.running
        self._launcher.stop(running)

    @contextmanager
    def _awake(self) -> Iterator[Running]:
        """Do as `answering`, but first start the server if there is none."""
        with self._taken() as fleet:
            with self._waking:
                if fleet.asleep:
                    variant = fleet.running.variant
                    fleet.running = self._launcher.launch(variant, label=f"{self.name}/{variant.name}")
                    fleet.asleep, self.instance_count = False, 1
            yield fleet.running

    def _answer(self, request: Json, answer: str, failure: str) -> None:
        role = ExecutionRole(self._role, port=self._launcher.port)
        key = self._config["OutputConfig"].get("KmsKeyId")
        try:
            role.write(answer, self._infer(role, request), key=key)
            self._announce(role, request, "Success", responseParameters={"outputLocation": answer})
        except (*REFUSALS, LookupError, ServerError) as error:
            reason = "The endpoint was deleted." if isinstance(error, LookupError) else str(error)
            log.error("%s: %s: %s", self.name, request["InputLocation"], reason)
            role.write(failure, json.dumps({"failureReason": reason}).encode(), key=key)
            self._announce(role, request, "Error", failureReason=reason)

    def _infer(self, role: ExecutionRole, request: Json) -> bytes:
        with self._awake() as running:
            body = role.read(request["InputLocation"])
            headers = {
                "Content-Type": request.get("ContentType", ""),
                "Accept": request.get("Accept", "*/*"),
                "X-Amzn-SageMaker-Custom-Attributes": request.get("CustomAttributes", ""),
            }
            timeout_s = request.get("InvocationTimeoutSeconds", _TIMEOUT_S)
            try:
                answer, content = running.invoke(self.name, body, headers, timeout_s=timeout_s)
            except (OSError, http.client.HTTPException) as error:
                raise ServerError(f"The container does not answer: {error}") from error
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            message = content.decode(errors="replace")
            raise ServerError(f'Received error ({answer.status}) from primary with message "{message}".')
        return content

    def _announce(self, role: ExecutionRole, request: Json, result: str, **more: object) -> None:
        topic = self._config["OutputConfig"].get("NotificationConfig", {}).get(f"{result}Topic")
        message = {
            "awsRegion": region(),
            "invocationStatus": "Completed" if result == "Success" else "Failed",
            "requestParameters": {"endpointName": self.name, "inputLocation": request["InputLocation"]},
            "inferenceId": request.get("InferenceId"),
            **more,
        }
        if topic:
            role.publish(topic, json.dumps(message))
