"""A deployed gateway, called as a program would: over HTTP, with whatever its environment asks for."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from infra import names
from infra.local import gateway_url
from scripts.delivery.aws import session, stack_outputs
from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from infra.config import Settings

# API Gateway gives up after 29 s: waiting longer can bring nothing.
TIMEOUT_S = 30


@dataclass(frozen=True)
class Answer:
    """An HTTP status and the JSON that came with it."""

    status: int
    body: dict[str, object]


@dataclass(frozen=True)
class Gateway:
    """One stage's URL and how its ``POST /predict`` is guarded.

    Attributes
    ----------
    url
        The stage's URL without a slash at the end.
    headers
        What every request carries, for example the API key.
    sign
        Whether requests are signed with the caller's AWS credentials (Signature Version 4).
    function
        Where only people can sign in: the Lambda behind it, which then is asked in the gateway's place.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    sign: bool = False
    function: str | None = None

    def predict(self, image: bytes, *, media_type: str) -> Answer:
        """Classify one encoded image; the answer is a prediction or a problem."""
        if self.function:
            return _ask(self.function, image, media_type=media_type)
        return self._json("POST", "/predict", body=image, headers={"Content-Type": media_type})

    def health(self) -> Answer:
        """Return the answer of ``GET /health``."""
        return self._json("GET", "/health")

    def _json(
        self, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        url = self.url + path
        request = AWSRequest(method=method, url=url, data=body, headers=self.headers | (headers or {}))
        if self.sign:
            caller = session()
            credentials = caller.get_credentials()
            if credentials is None:
                raise DeliveryError("This gateway wants signed requests, and no AWS credentials were found.")
            SigV4Auth(credentials, "execute-api", caller.region_name).add_auth(request)
        try:
            answer = requests.request(
                method, url, data=body, headers=dict(request.headers), timeout=TIMEOUT_S
            )
            return Answer(answer.status_code, cast("dict[str, object]", answer.json()))
        except requests.RequestException as error:
            raise DeliveryError(f"{method} {url} got no usable answer: {error}") from error


def gateway_of(settings: Settings) -> Gateway:
    """Find the environment's deployed gateway and what it asks of its callers.

    Raises
    ------
    DeliveryError
        If the gateway stack is not deployed.
    """
    outputs = stack_outputs(names.gateway_stack(settings.environment))
    if settings.local:
        url = gateway_url(outputs["ApiId"], outputs["StageName"])
    else:
        url = outputs["Url"].rstrip("/")
    if settings.auth == "api_key":
        return Gateway(url=url, headers={"x-api-key": _api_key(outputs["ApiKeyId"])})
    if settings.auth == "cognito":
        return Gateway(url=url, function=names.function(settings.environment))
    return Gateway(url=url, sign=settings.auth == "iam")


def _ask(function: str, image: bytes, *, media_type: str) -> Answer:
    """Send a Lambda the event that API Gateway makes of a request that it lets in."""
    event = {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "pathParameters": {"proxy": "predict"},
        "headers": {"Content-Type": media_type},
        "body": base64.b64encode(image).decode(),
        "isBase64Encoded": True,
        "requestContext": {"requestId": "smoke"},
    }
    answer = session().client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    envelope = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise DeliveryError(f"The gateway's Lambda {function} failed: {envelope.get('errorMessage')}")
    return Answer(envelope["statusCode"], json.loads(envelope["body"]))


def _api_key(key_id: str) -> str:
    return str(session().client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"])
