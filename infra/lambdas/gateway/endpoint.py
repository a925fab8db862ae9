"""The SageMaker endpoint."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from . import endpoint_errors
from .aws import client

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 25.0  # API Gateway gives up after 29 s, and its own answer would not say why
STALE_WITHIN_S = 1.0
INVOCATION_S = 1800  # for the container to answer what was queued, every frame of a file


class Endpoint:
    """One SageMaker endpoint. Its runtime client is created at once, as part of a cold start."""

    def __init__(self, name: str) -> None:
        self.name = name
        # One attempt: a second one after a read timeout could only end after the gateway has given up.
        self._config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
        )
        self._runtime = cast("SageMakerRuntimeClient", client("sagemaker-runtime", self._config))

    @cached_property
    def _control(self) -> SageMakerClient:
        # Created on first use: predictions never need it.
        return cast("SageMakerClient", client("sagemaker", self._config))

    def predict(self, image: bytes, attributes: str, inference_id: str) -> bytes:
        """Return the container's answer for an encoded image.

        `attributes` are the one free-form header that SageMaker passes on to the container; `inference_id`
        names the image in what SageMaker captures.

        Raises
        ------
        Problem
            The container's verdict on the image (400, 413, 415, 422), or 429, 502, 503, 504.
        """
        try:
            return self._invoke(image, attributes, inference_id)
        except (BotoCoreError, ClientError) as error:
            raise endpoint_errors.problem(error) from error

    def queue(self, image: str, attributes: str, inference_id: str) -> tuple[str, str]:
        """Queue an image that lies in S3, and return where its answer will be, or its failure.

        Raises botocore's `BotoCoreError` or `ClientError`.
        """
        queued = self._runtime.invoke_endpoint_async(
            EndpointName=self.name,
            ContentType="application/octet-stream",
            Accept="application/json",
            CustomAttributes=attributes,
            InferenceId=inference_id,
            InputLocation=image,
            InvocationTimeoutSeconds=INVOCATION_S,
        )
        return queued["OutputLocation"], queued["FailureLocation"]

    def status(self) -> str:
        """Return the endpoint's status, such as InService.

        Raises
        ------
        Problem
            503 if there is no such endpoint; 429, 502 or 504 if its status cannot be read.
        """
        try:
            return self._control.describe_endpoint(EndpointName=self.name)["EndpointStatus"]
        except (BotoCoreError, ClientError) as error:
            raise endpoint_errors.problem(error) from error

    def _invoke(self, image: bytes, attributes: str, inference_id: str, *, retry: bool = True) -> bytes:
        started = time.monotonic()
        try:
            response = self._runtime.invoke_endpoint(
                EndpointName=self.name,
                ContentType="application/octet-stream",  # the bytes decide, whatever the sender declared
                Accept="application/json",
                CustomAttributes=attributes,
                InferenceId=inference_id,
                Body=image,
            )
            return response["Body"].read()
        except ConnectionClosedError:
            # A kept connection that was dropped while this Lambda was frozen fails at once.
            if not retry or time.monotonic() - started > STALE_WITHIN_S:
                raise
        return self._invoke(image, attributes, inference_id, retry=False)
