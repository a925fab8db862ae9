"""Asynchronous inference: a queue before an endpoint, whose server runs only while there is work.

Scaling is emulated by rule, not by CloudWatch: a backlog starts the server, and none for `IDLE_S` stops it.
docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html. **Unverified on AWS**: the names of answers and
failures, what a failure's file holds, and all members of a message.
"""

from __future__ import annotations

import contextvars
import json
import logging
import queue
import threading
import time
import uuid
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from infra.emulator.ministack_patches.app import Answer, region
from infra.emulator.ministack_patches.cloudwatch import record_invocation
from infra.emulator.ministack_patches.iam import AccessDenied
from infra.emulator.sagemaker.endpoints import Endpoint
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.resources import ServerError
from infra.local_aws import HOST

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
                # In the request's context, which has the region.
                run = contextvars.copy_context().run
                threading.Thread(target=run, args=(self._work,), daemon=True).start()
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
        except (AccessDenied, BotoCoreError, ClientError, LookupError, ServerError) as error:
            reason = "The endpoint was deleted." if isinstance(error, LookupError) else str(error)
            log.error("%s: %s: %s", self.name, request["InputLocation"], reason)
            role.write(failure, json.dumps({"failureReason": reason}).encode(), key=key)
            self._announce(role, request, "Error", failureReason=reason)

    def _infer(self, role: ExecutionRole, request: Json) -> bytes:
        with self._awake() as running:
            bucket, _, key = request["InputLocation"].removeprefix("s3://").partition("/")
            body, began, status = role.read(bucket, key), time.monotonic(), 0
            headers = {
                "Content-Type": request.get("ContentType", ""),
                "Accept": request.get("Accept", "*/*"),
                "X-Amzn-SageMaker-Custom-Attributes": request.get("CustomAttributes", ""),
            }
            timeout_s = request.get("InvocationTimeoutSeconds", _TIMEOUT_S)
            url = f"http://{HOST}:{running.server.port}/invocations"
            try:
                answer = urllib3.request(
                    "POST", url, body=body, headers=headers, timeout=timeout_s, retries=False
                )
                status = answer.status
            except urllib3.exceptions.HTTPError as error:
                raise ServerError(f"The container does not answer: {error}") from error
            finally:
                seconds = time.monotonic() - began
                record_invocation(self.name, running.variant.name, status=status, seconds=seconds)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            message = answer.data.decode(errors="replace")
            raise ServerError(f'Received error ({status}) from primary with message "{message}".')
        return answer.data

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
