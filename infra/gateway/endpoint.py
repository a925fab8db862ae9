"""The SageMaker endpoint: the only part of the gateway that talks to the outside world."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

import clients
import faults

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 25.0  # API Gateway gives up at 29 s, and its answer would not say why
STALE_WITHIN_S = 1.0


class Endpoint:
    """One SageMaker endpoint by its name.

    Its runtime client is made at once, so that a cold start pays for it before the first request comes.
    """

    def __init__(self, name: str, *, read_timeout: float = READ_TIMEOUT_S) -> None:
        self.name = name
        # One attempt: a second one after a read timeout could only end after the gateway has given up.
        self._config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
        )
        self._runtime = clients.runtime(self._config)

    @cached_property
    def _control(self) -> SageMakerClient:
        # Made when first asked for: predictions never need it.
        return clients.control(self._config)

    def predict(
        self, image: bytes, *, heatmap: bool, request_id: str = "", traceparent: str | None = None
    ) -> bytes:
        """Return what the container answers for an encoded image.

        `request_id` and `traceparent` name the request in the container's log as in this one's.

        Raises
        ------
        Problem
            What the container says of the image (400, 413, 415, 422), or 429, 502, 503, 504.
        """
        try:
            return self._invoke(
                image, _attributes(heatmap=heatmap, request_id=request_id, traceparent=traceparent)
            )
        except (BotoCoreError, ClientError) as error:
            raise faults.problem(error) from error

    def status(self) -> str:
        """Return the endpoint's status, such as InService.

        Raises
        ------
        Problem
            503 when there is no such endpoint; 429, 502 or 504 when its status could not be learnt.
        """
        try:
            return self._control.describe_endpoint(EndpointName=self.name)["EndpointStatus"]
        except (BotoCoreError, ClientError) as error:
            raise faults.problem(error) from error

    def _invoke(self, image: bytes, attributes: str) -> bytes:
        started = time.monotonic()
        try:
            return self._invoke_once(image, attributes)
        except ConnectionClosedError:
            # A kept connection that the far end dropped while this Lambda was frozen shows it at once.
            if time.monotonic() - started > STALE_WITHIN_S:
                raise
            return self._invoke_once(image, attributes)

    def _invoke_once(self, image: bytes, attributes: str) -> bytes:
        response = self._runtime.invoke_endpoint(
            EndpointName=self.name,
            ContentType="application/octet-stream",  # the bytes decide, whatever their sender called them
            Accept="application/json",
            CustomAttributes=attributes,
            Body=image,
        )
        return response["Body"].read()


def _attributes(*, heatmap: bool, request_id: str, traceparent: str | None) -> str:
    """Return the one free-form header that SageMaker hands on to the container."""
    named = {"heatmap": str(heatmap).lower(), "request_id": request_id, "traceparent": traceparent}
    return ";".join(f"{name}={value}" for name, value in named.items() if value)
