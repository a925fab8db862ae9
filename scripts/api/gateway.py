"""Clients of deployed gateways: where a gateway answers, and the credentials that its auth mode requires."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from infra import names
from infra.lambdas.canary.golden import predict_event
from infra.lambdas.gateway import metrics
from infra.local_aws import gateway_url
from scripts.client import Client, Reply
from scripts.console import DeliveryError
from scripts.delivery.aws import session, stack_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config import Settings
    from scripts.client import Sign

# Secrets come from the environment only: every user of a machine can read the arguments of its processes.
API_KEY, ACCESS_TOKEN = "TUMOR_API_KEY", "TUMOR_ACCESS_TOKEN"


def gateway_client(settings: Settings, **retries: Any) -> Client:
    """Return an operator's client of an environment's gateway; `retries` as in `scripts.client.Client`.

    With cognito, where only people can sign in, predictions bypass API Gateway and invoke the Lambda.
    """
    url, api_key = deployed_gateway(settings)
    if settings.auth == "cognito":
        return LambdaClient(url, function=names.function(settings.environment), **retries)
    return Client(url, api_key=api_key, sign=signer(session()) if settings.auth == "iam" else None, **retries)


def deployed_gateway(settings: Settings) -> tuple[str, str | None]:
    """Return the URL of an environment's gateway and, where callers need one, its API key."""
    stack = names.stack(settings.environment, "gateway")
    outputs = stack_outputs(stack)
    try:
        local = settings.local
        url = gateway_url(outputs["ApiId"], outputs["StageName"]) if local else outputs["Url"].rstrip("/")
        if settings.auth != "api_key":
            return url, None
        key_id = outputs["ApiKeyId"]
    except KeyError as error:
        raise DeliveryError(
            f"Stack {stack} has no output {error}: deploy it again, and check that AWS_ENDPOINT_URL, if set, "
            "is the AWS that you mean."
        ) from error
    return url, session().client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]


def caller_client(url: str, *, api_key: str | None = None) -> Client:
    """Return a client of a stage with the credentials that the gateway's own OpenAPI document requires.

    An API key that is not given is read from the environment variable that `API_KEY` names. Raises
    `DeliveryError` without a credential, `ClientError` if something other than this API answers, or nothing.
    """
    try:
        anonymous = Client(url)
    except ValueError as error:
        raise DeliveryError(str(error)) from error
    with closing(anonymous):
        components = anonymous.openapi().get("components")
    schemes = components.get("securitySchemes", {}) if isinstance(components, dict) else {}
    if "api_key" in schemes:
        return Client(url, api_key=api_key or _secret(API_KEY, "an API key"))
    if "cognito" in schemes:
        return Client(url, access_token=_secret(ACCESS_TOKEN, "the access token of a signed-in user"))
    return Client(url, sign=signer(boto3.Session()) if "iam" in schemes else None)


@contextmanager
def request_threads(client: Client, count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that share a client; on an error or Ctrl-C its requests in flight are ended."""
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException:
            client.close()
            pool.shutdown(cancel_futures=True)
            raise


def signer(caller: boto3.Session) -> Sign:
    """Return a function that signs requests with the caller's AWS credentials (Signature Version 4)."""
    credentials = caller.get_credentials()
    if credentials is None or caller.region_name is None:
        raise DeliveryError("This gateway requires signed requests: log in to AWS and set AWS_REGION.")
    sigv4 = SigV4Auth(credentials, "execute-api", caller.region_name)

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        sigv4.add_auth(request)
        return dict(request.headers)

    return sign


class LambdaClient(Client):
    """A client whose predictions invoke the gateway's Lambda with the event that API Gateway would send."""

    def __init__(self, url: str, *, function: str, **retries: Any) -> None:
        super().__init__(url, **retries)
        self._function = function
        self._lambda = session().client("lambda")

    def _attempt(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        if not path.startswith("/predict?"):
            return super()._attempt(method, path, headers, body)
        event = predict_event(
            body, media_type=headers["Content-Type"], request_id=f"{metrics.UNCOUNTED}smoke"
        )
        event["queryStringParameters"] = dict(parse_qsl(urlsplit(path).query))
        answer = self._lambda.invoke(FunctionName=self._function, Payload=json.dumps(event).encode())
        envelope = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise DeliveryError(
                f"The gateway's Lambda {self._function} failed: {envelope.get('errorMessage')}"
            )
        answered = {name.lower(): value for name, value in envelope["headers"].items()}
        return Reply(envelope["statusCode"], answered, envelope["body"].encode())


def _secret(name: str, what: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise DeliveryError(f"This gateway requires {what}: set the environment variable {name}.")
    return found
