"""SageMaker with one endpoint on 127.0.0.1, whose answers a test sets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.http_server import Call, Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32}
PREDICTION = {"label": "YES", "class": 1, "probability": 0.93, "threshold": 0.41, "model": MODEL}
HEATMAP = {"width": 2, "height": 2, "values": [[0.0, 0.3], [0.0, 1.0]]}
LOW = {"reliability": "low", "reasons": ["The contrast is unlike the images that the model learnt from."]}


def prediction(**members: object) -> Reply:
    """Return a container's prediction with some members changed."""
    return Reply(body=json.dumps({**PREDICTION, **members}).encode())


def error(code: str, *, status: int = 400, **members: object) -> Reply:
    """Return an error of SageMaker: the runtime names it in a header, the control plane in the body."""
    body = json.dumps({"__type": code, "Message": f"{code}: from the fake", **members}).encode()
    return Reply(status, body, headers={"x-amzn-ErrorType": code})


def model_error(status: int, message: str) -> Reply:
    """Return a container's error as SageMaker wraps it."""
    return error("ModelError", status=424, OriginalStatusCode=status, OriginalMessage=message)


def refusal(detail: str = "No brain.", **members: object) -> Reply:
    """Return a container's refusal as SageMaker wraps it."""
    return model_error(422, json.dumps({"detail": detail, **members}))


def attributes(call: Call) -> Mapping[str, str]:
    """Return the custom attributes of a call, which SageMaker passes on to the container."""
    given = call.headers["x-amzn-sagemaker-custom-attributes"]
    return dict(attribute.split("=") for attribute in given.split(";"))


class FakeSageMaker(ScriptedServer):
    """The runtime and the control plane on one port; `status` is the answer of DescribeEndpoint."""

    normal_body = json.dumps(PREDICTION).encode()

    def reset(self) -> None:
        super().reset()
        self.status: str | Reply = "InService"

    def answer(self, call: Call) -> Reply:
        if call.target == "/":
            if isinstance(self.status, Reply):
                return self.status
            return Reply(body=json.dumps({"EndpointStatus": self.status}).encode())
        self.calls.append(call)
        return self.scripted(call)
