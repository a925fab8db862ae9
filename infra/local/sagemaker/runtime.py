"""SageMaker's runtime: ``POST /endpoints/<name>/invocations``.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import http.client
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ministack.core.responses import get_account_id, get_region, new_uuid

from infra.local import policies
from infra.local.sagemaker.api import Answer, error_answer
from infra.local.sagemaker.catalog import ENDPOINT
from infra.local.sagemaker.errors import SageMakerError
from infra.local.sagemaker.metrics import publish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.sagemaker.endpoints import Endpoints
    from infra.local.sagemaker.launcher import Running

MODEL_TIMEOUT_S = 60  # the container's time for one answer, same page
_PATH = re.compile(r"/endpoints/([^/]+)/invocations")
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_PASSED_ON = ("content-type", "accept", _ATTRIBUTES)


def endpoint_of(path: str) -> str | None:
    """Name of the endpoint that a path invokes, or None if it invokes none."""
    matched = _PATH.fullmatch(path)
    return unquote(matched[1]) if matched else None


def invoke(endpoints: Endpoints, name: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    """Let the endpoint's variant answer one request.

    Parameters
    ----------
    headers
        By their names in lower case.
    """
    try:
        with endpoints.get(name).answering() as running:
            _check_size(running, body)
            return _counted(running, name, headers=headers, body=body)
    except (LookupError, SageMakerError) as error:
        return error_answer(_as_runtime_error(error, name), content_type="application/json")


def refused(name: str, headers: Mapping[str, str]) -> Answer | None:
    """Return AWS's refusal of an invocation that its caller's policies do not allow; None if they do."""
    why = policies.denial("sagemaker:InvokeEndpoint", ENDPOINT.arn_of(name), headers)
    if why is None:
        return None
    error = SageMakerError("AccessDeniedException", why, status=HTTPStatus.FORBIDDEN)
    return error_answer(error, content_type="application/json")


def _as_runtime_error(error: LookupError | SageMakerError, name: str) -> SageMakerError:
    if isinstance(error, SageMakerError) and error.code != "ValidationException":
        return error
    # The runtime has a name of its own for it, and does not tell an endpoint that is not ready from none.
    return SageMakerError("ValidationError", f"Endpoint {name} of account {get_account_id()} not found.")


def _check_size(running: Running, body: bytes) -> None:
    limit = running.variant.max_body
    if len(body) <= limit:
        return
    if running.variant.serverless:
        raise SageMakerError("ValidationError", f"Request {new_uuid()} has oversize body.")
    message = f"HTTP content length exceeded {limit} bytes."
    raise SageMakerError("413", message, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _counted(running: Running, name: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    """Forward an invocation, and tell CloudWatch of it."""
    began, status = time.monotonic(), 0
    try:
        answer = _forward(running, name, headers=headers, body=body)
        status = answer[0]
    except SageMakerError as error:
        status = int(str(error.members.get("OriginalStatusCode", 0)))
        raise
    finally:
        publish(name, running.variant, status=status, seconds=time.monotonic() - began)
    return answer


def _forward(running: Running, name: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=MODEL_TIMEOUT_S)
    passed_on = {key: headers[key] for key in _PASSED_ON if key in headers}
    try:
        connection.request("POST", "/invocations", body=body, headers=passed_on)
        response = connection.getresponse()
        content = response.read()
    except TimeoutError as error:
        message = "Your invocation timed out while waiting for a response from container primary."
        raise _model_error(name, status=0, message=message) from error
    except (OSError, http.client.HTTPException) as error:
        message = f"The container of endpoint {name} does not answer: {error}"
        raise SageMakerError("ServiceUnavailable", message, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
    finally:
        connection.close()
    if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _model_error(name, status=response.status, message=content.decode(errors="replace"))
    answered = {"x-Amzn-Invoked-Production-Variant": running.variant.name}
    for key in ("content-type", _ATTRIBUTES):
        if value := response.getheader(key):
            answered[key] = value
    return response.status, answered, content


def _model_error(name: str, *, status: int, message: str) -> SageMakerError:
    """Return the error that carries a container's own answer when it is not a success."""
    side = "client" if 400 <= status < 500 else "server"  # noqa: PLR2004 - HTTP's own classes
    group = f"/aws/sagemaker/Endpoints/{name}"
    region, account = get_region(), get_account_id()
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group}"
    members = {
        "OriginalStatusCode": status,
        "OriginalMessage": message,
        "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:{group}",
    }
    text = (
        f'Received {side} error ({status}) from primary with message "{message}". '
        f"See {console} in account {account} for more information."
    )
    return SageMakerError("ModelError", text, status=HTTPStatus.FAILED_DEPENDENCY, members=members)
