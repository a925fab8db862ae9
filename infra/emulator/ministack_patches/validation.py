"""Check requests as AWS does before ministack, which accepts more, answers them.

SageMaker's requests are checked where they arrive, in `infra.emulator.sagemaker.api`.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.core.responses import error_response_json
from ministack.services.cloudformation import provisioners

from infra.emulator.ministack_patches.cloudformation import check_type
from infra.emulator.validation.requests import SERVICES, content, of_http, of_resource
from infra.emulator.validation.shapes import InvalidRequest, validate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from infra.emulator.ministack_patches.cloudformation import Properties


def patch() -> None:
    """Check the requests of services and of CloudFormation; called when all of them are there."""
    for service in {*SERVICES.values()} - {"sagemaker"}:
        app.SERVICE_HANDLERS[service] = _checked(service, app.SERVICE_HANDLERS[service])
    for kind, handlers in provisioners._RESOURCE_HANDLERS.items():
        if kind.split("::")[1] in SERVICES:
            check_type(kind, partial(_check, kind), on_update="update" in handlers)


def _checked(service: str, handler: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def checked(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> object:
        try:
            if target := headers.get("x-amz-target"):
                validate(service, target.rpartition(".")[2], content(body))
            else:
                request = of_http(service, method=method, path=path, headers=headers, body=body, query=query)
                validate(service, *request)
        except InvalidRequest as error:
            return error_response_json(error.code, error.message, HTTPStatus.BAD_REQUEST)
        return await handler(method, path, headers, body, query)

    return checked


def _check(kind: str, properties: Properties) -> None:
    for request in of_resource(kind, properties):
        validate(*request)
