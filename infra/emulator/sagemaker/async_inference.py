"""Asynchronous inference: a queue before an endpoint, whose server runs only while there is work.

Scaling is emulated by rule, not by CloudWatch: a backlog starts the server, and none for `IDLE_S` stops it.
docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html. **Unverified on AWS**: the names of answers and
failures, and what a failure's file holds.
"""

from __future__ import annotations

import contextvars
import http.client
import json
import logging
import queue
import threading
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from infra.emulator.ministack_patches.app import Answer, region
from infra.emulator.ministack_patches.cloudwatch import record_invocation
from infra.emulator.ministack_patches.iam import AccessDenied
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.resources import ServerError
from infra.local_aws import HOST

if TYPE_CHECKING:
    from infra.emulator.sagemaker.endpoints import Endpoint
    from infra.emulator.validation.rules import Json

log = logging.getLogger("sagemaker")

CONFIG = "AsyncInferenceConfig"
IDLE_S = 5.0  # without a backlog, until the server is stopped; AWS takes minutes
_TIMEOUT_S = 900  # default of botocore's InvocationTimeoutSeconds
_CONCURRENT = 4  # where the configuration names no number; SageMaker chooses one


class InferenceError(Exception):
    """An image gets no answer; the message is the reason as SageMaker gives it."""


@dataclass(frozen=True)
class _Invocation:
    """What was asked, and where the answer or the failure goes."""

    request: Json
    id: str
    output: str
    failure: str


class Queue:
    """The queue of one endpoint, which is worked off, as the model's role, until the endpoint is deleted."""

    def __init__(self, endpoint: Endpoint, *, role: str, port: int) -> None:
        self.role = role
        self._endpoint = endpoint
        self._port = port
        self._waiting: queue.Queue[_Invocation] = queue.Queue()
        client = self._config.get("ClientConfig", {})
        for _ in range(client.get("MaxConcurrentInvocationsPerInstance", _CONCURRENT)):
            # In the request's context, which has the region.
            run = contextvars.copy_context().run
            threading.Thread(target=run, args=(self._work,), daemon=True).start()

    @property
    def _config(self) -> Json:
        config: Json = self._endpoint.config.properties[CONFIG]
        return config

    def put(self, request: Json) -> Answer:
        """Queue one invocation, and answer where its result will be."""
        id_, name, output = (
            request.get("InferenceId", str(uuid.uuid4())),
            uuid.uuid4(),
            self._config["OutputConfig"],
        )
        failures = output.get("S3FailurePath", output["S3OutputPath"])
        places = (f"{output['S3OutputPath']}/{name}.out", f"{failures}/{name}-error.out")
        self._waiting.put(_Invocation(request, id_, *places))
        named = ("X-Amzn-SageMaker-OutputLocation", "X-Amzn-SageMaker-FailureLocation")
        headers = {"Content-Type": "application/json", **dict(zip(named, places, strict=True))}
        return HTTPStatus.ACCEPTED, headers, json.dumps({"InferenceId": id_}).encode()

    def join(self) -> None:
        """Wait until nothing waits; what waits for a deleted endpoint fails."""
        self._waiting.join()

    def _work(self) -> None:
        while True:
            try:
                invocation = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                if self._endpoint.status == "Deleting":
                    return
                self._endpoint.sleep()
                continue
            try:
                self._answer(invocation)
            except Exception as error:  # whatever went wrong, the next one must be answered
                log.error("%s: the result of %s is lost: %s", self._endpoint.name, invocation.id, error)
            self._waiting.task_done()

    def _answer(self, invocation: _Invocation) -> None:
        role, key = ExecutionRole(self.role, port=self._port), self._config["OutputConfig"].get("KmsKeyId")
        try:
            answer = self._infer(role, invocation.request)
            role.write(invocation.output, answer, key=key)
            self._announce(role, "SuccessTopic", invocation, outputLocation=invocation.output)
        except (AccessDenied, BotoCoreError, ClientError, InferenceError, LookupError, ServerError) as error:
            reason = "The endpoint was deleted." if isinstance(error, LookupError) else str(error)
            log.error("%s: %s: %s", self._endpoint.name, invocation.id, reason)
            role.write(invocation.failure, json.dumps({"failureReason": reason}).encode(), key=key)
            self._announce(role, "ErrorTopic", invocation, failureReason=reason)

    def _infer(self, role: ExecutionRole, request: Json) -> bytes:
        with self._endpoint.awake() as running:
            bucket, _, key = request["InputLocation"].removeprefix("s3://").partition("/")
            body, began, status = role.read(bucket, key), time.monotonic(), 0
            headers = {
                "Content-Type": request.get("ContentType", ""),
                "Accept": request.get("Accept", "*/*"),
                "X-Amzn-SageMaker-Custom-Attributes": request.get("CustomAttributes", ""),
            }
            timeout_s = request.get("InvocationTimeoutSeconds", _TIMEOUT_S)
            connection = http.client.HTTPConnection(HOST, running.server.port or 0, timeout=timeout_s)
            try:
                connection.request("POST", "/invocations", body=body, headers=headers)
                response = connection.getresponse()
                answer, status = response.read(), response.status
            except (OSError, http.client.HTTPException) as error:
                raise InferenceError(f"The container does not answer: {error}") from error
            finally:
                connection.close()
                seconds = time.monotonic() - began
                record_invocation(self._endpoint.name, running.variant.name, status=status, seconds=seconds)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            message = answer.decode(errors="replace")
            raise InferenceError(f'Received error ({status}) from primary with message "{message}".')
        return answer

    def _announce(self, role: ExecutionRole, topic: str, invocation: _Invocation, **result: str) -> None:
        arn = self._config["OutputConfig"].get("NotificationConfig", {}).get(topic)
        if arn is None:
            return
        failed = "failureReason" in result
        message = {
            "awsRegion": region(),
            "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "invocationStatus": "Failed" if failed else "Completed",
            "requestParameters": {
                "endpointName": self._endpoint.name,
                "inputLocation": invocation.request["InputLocation"],
            },
            **(result if failed else {"responseParameters": result}),
            "inferenceId": invocation.id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
        role.publish(arn, json.dumps(message))
