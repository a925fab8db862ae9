"""Batch Transform: a model's server answers each object of a manifest, and S3 gets an object for each answer.

As botocore's S3OutputPath says, an object that fails makes the job fail, and the others are still answered.
**Unverified on AWS**: that an answer has its object's name, relative to the manifest's prefix; the words of
reasons; that an absent object fails so; that refusals are not tried again; and that a stopped job keeps its
answers, of which AWS's page of StopTransformJob says that none are stored.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

import urllib3

from infra.emulator.sagemaker.execution_role import REFUSALS, ExecutionRole
from infra.emulator.sagemaker.resources import Resource, ResourceType, ServerError, Variant, invalid
from infra.local_aws import HOST
from infra.names import TRANSFORM_LOG_GROUP

if TYPE_CHECKING:
    from infra.emulator.sagemaker.launcher import Launcher
    from infra.emulator.sagemaker.resources import Store
    from infra.emulator.validation.rules import Json

log = logging.getLogger("sagemaker")

TRANSFORM_JOB = ResourceType("transform-job", "TransformJob", label="transform job")
Status = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]
_TIMEOUT_S, _RETRIES, _PAYLOAD_MB = 600, 3, 6  # defaults of botocore's ModelClientConfig, CreateTransformJob


class JobError(Exception):
    """A job, or one of its objects, fails; the message is the reason as SageMaker gives it."""


class TransformJob(Resource):
    """One job, which runs on a thread of its own and is never removed."""

    def __init__(self, request: Json, models: Store[Resource], *, launcher: Launcher) -> None:
        super().__init__(TRANSFORM_JOB, request)
        source = request["TransformInput"]
        whole = source.get("SplitType", "None") == source.get("CompressionType", "None") == "None"
        if not whole or source["DataSource"]["S3DataSource"]["S3DataType"] != "ManifestFile":
            raise invalid("The emulated SageMaker transforms whole objects, which a manifest lists.")
        self.status: Status = "InProgress"
        self._more: dict[str, object] = {}
        self._launcher = launcher
        self._variant = Variant.of_model(
            "transform",
            models.get(request["ModelName"]).properties,
            environment={**request.get("Environment", {}), "SAGEMAKER_BATCH": "true"},
            volume_key=request["TransformResources"].get("VolumeKmsKeyId"),
            instances=request["TransformResources"]["InstanceCount"],
        )

    def summary(self) -> dict[str, object]:
        """Return the members that both a list and a description show."""
        return super().summary() | {"TransformJobStatus": self.status, **self._more}

    def stop(self) -> dict[str, object]:
        """Begin to stop: what is being answered still is."""
        if self.status != "InProgress":
            raise invalid(f"The transform job cannot be stopped: its status is {self.status}.")
        self.status = "Stopping"
        return {}

    def run(self) -> None:
        """Run to the end."""
        try:
            self._answer_all()
        except Exception as error:  # whatever went wrong, the job must end
            log.exception("%s", self.name)
            self._fail(error)
        self._more["TransformEndTime"] = time.time()
        failed = "FailureReason" in self._more
        self.status = "Stopped" if self.status == "Stopping" else "Failed" if failed else "Completed"

    def _fail(self, error: Exception) -> None:
        log.error("%s: %s", self.name, error)
        side = "AlgorithmError: /ping: " if isinstance(error, ServerError) else "ClientError: "
        reason = str(error) if isinstance(error, JobError) else f"{side}{error}"
        self._more.setdefault("FailureReason", reason)

    def _answer_all(self) -> None:
        role = ExecutionRole(self._variant.role, port=self._launcher.port)
        source = self.properties["TransformInput"]["DataSource"]["S3DataSource"]
        prefix, names = _manifest(role, source["S3Uri"])
        label, logs_to = f"{self.name}/{self._variant.name}", (TRANSFORM_LOG_GROUP, self.name)
        running = self._launcher.launch(self._variant, label=label, logs_to=logs_to)
        self._more["TransformStartTime"] = time.time()
        threads = self.properties.get("MaxConcurrentTransforms") or 1
        client = self.properties.get("ModelClientConfig", {})
        server = urllib3.HTTPConnectionPool(
            HOST,
            running.server.port,
            maxsize=threads,
            timeout=client.get("InvocationsTimeoutInSeconds", _TIMEOUT_S),
            retries=urllib3.Retry(
                client.get("InvocationsMaxRetries", _RETRIES),
                allowed_methods=None,
                status_forcelist=range(HTTPStatus.INTERNAL_SERVER_ERROR, 600),
                backoff_factor=0.2,
            ),
        )

        def answer(name: str) -> None:
            try:
                if self.status != "Stopping":
                    self._answer(role, server, f"{prefix}{name}", name)
            except (*REFUSALS, JobError) as error:
                self._fail(error)

        try:
            with server, ThreadPoolExecutor(threads) as pool:
                list(pool.map(answer, names))
        finally:
            self._launcher.stop(running)

    def _answer(self, role: ExecutionRole, server: urllib3.HTTPConnectionPool, url: str, name: str) -> None:
        """Answer one object; a refusal is final, an error of the server is tried again."""
        body, output = role.read(url), self.properties["TransformOutput"]
        limit = self.properties.get("MaxPayloadInMB", _PAYLOAD_MB)
        if limit and len(body) > limit * 1024**2:
            raise JobError(f"ClientError: {url} exceeds MaxPayloadInMB, which is {limit}")
        kind = self.properties["TransformInput"].get("ContentType", "")
        headers = {"Content-Type": kind, "Accept": output.get("Accept", "*/*")}
        try:
            answer = server.request("POST", "/invocations", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise JobError("AlgorithmError: See job logs for more information") from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise JobError("ClientError: See job logs for more information")
        target = f"{output['S3OutputPath'].rstrip('/')}/{name}.out"
        role.write(target, answer.data, key=output.get("KmsKeyId"))


def _manifest(role: ExecutionRole, url: str) -> tuple[str, list[str]]:
    """Return what the URLs of a manifest's objects begin with, and the rest of each."""
    try:
        head, *names = json.loads(role.read(url))
        return f"{head['prefix']}", names
    except (ValueError, TypeError, LookupError) as error:
        form = '[{"prefix": "s3://BUCKET/..."}, "name", ...]'
        raise JobError(f"ClientError: {url} is no manifest: {form}") from error
