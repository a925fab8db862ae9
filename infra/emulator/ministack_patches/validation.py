"""Requests are checked as AWS checks them before ministack, which is kinder, answers them.

The SageMaker's own requests are checked where they arrive, in `infra.emulator.sagemaker.api`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.core.responses import error_response_json
from ministack.services.cloudformation import provisioners

from infra.emulator.ministack_patches.app import Answer, add_service
from infra.emulator.validation.requests import SERVICES, content, of_http, of_resource
from infra.emulator.validation.shapes import InvalidRequest, validate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

CONTRACT = """
app.SERVICE_HANDLERS: dict
core.responses.error_response_json(code, message, status, extra, message_key, content_type)
services.cloudformation.provisioners._RESOURCE_HANDLERS: dict
"""

_SCALING = "application-autoscaling"


def patch() -> None:
    """Wrap the services and CloudFormation's resource types; called when all of them are there."""
    if _SCALING not in app.SERVICE_HANDLERS:
        add_service(_SCALING, _not_emulated, target_prefix="AnyScaleFrontendService.")
    for service in {*SERVICES.values()} - {"sagemaker"}:
        app.SERVICE_HANDLERS[service] = _checked_service(service, app.SERVICE_HANDLERS[service])
    for kind, handlers in provisioners._RESOURCE_HANDLERS.items():
        if kind.split("::")[1] in SERVICES:
            for action, position in (("create", 1), ("update", 2)):
                if action in handlers:
                    handlers[action] = _checked_type(kind, handlers[action], position)


async def _not_emulated(*_request: object) -> Answer:
    message = "Application Auto Scaling is known to CloudFormation only."
    answer: Answer = error_response_json("UnknownOperationException", message, HTTPStatus.BAD_REQUEST)
    return answer


def _checked_service(
    service: str, handler: Callable[..., Awaitable[Answer]]
) -> Callable[..., Awaitable[Answer]]:
    async def checked(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        try:
            if target := headers.get("x-amz-target"):
                validate(service, target.rpartition(".")[2], content(body))
            else:
                request = of_http(service, method=method, path=path, headers=headers, body=body, query=query)
                validate(service, *request)
        except InvalidRequest as error:
            answer: Answer = error_response_json(error.code, error.message, HTTPStatus.BAD_REQUEST)
            return answer
        return await handler(method, path, headers, body, query)

    return checked


def _checked_type(kind: str, handler: Callable[..., object], position: int) -> Callable[..., object]:
    """Check the properties, a handler's argument at `position`, before it runs."""

    def checked(*arguments: Any) -> object:
        for service, operation, request in of_resource(kind, arguments[position]):
            validate(service, operation, request)
        return handler(*arguments)

    return checked
