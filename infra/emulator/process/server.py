"""The emulator's own process: ministack's application with this package's patches and its SageMaker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from infra.emulator.ministack_patches import (
    apigateway,
    app,
    cloudformation,
    cloudwatch,
    contract,
    drift,
    ecr,
    iam,
    lambdas,
    resource_types,
    s3,
    validation,
)
from infra.emulator.process import docker
from infra.emulator.sagemaker import api, stack_resources
from infra.emulator.sagemaker.launcher import Launcher
from infra.emulator.sagemaker.model_server import Containers
from infra.emulator.sagemaker.service import SageMaker
from infra.local_aws import HOST, LocalAwsError, endpoint_url

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_Application = Callable[..., Awaitable[None]]  # https://asgi.readthedocs.io/en/stable/specs/main.html

log = logging.getLogger("emulator")
_GRACEFUL_STOP_S = 5
_REFUSAL = b"Local AWS answers only programs and pages of this machine.\n"


def run(
    listener: socket.socket,
    *,
    engine: str,
    program: Sequence[str],
    scratch: Path,
    enforce_policies: bool,
    hide_rollbacks: bool,
) -> None:
    """Serve on a socket until SIGTERM or SIGINT, then stop every endpoint.

    Parameters as of `infra.emulator.process.local_aws.LocalAws`; `scratch` is a directory for the models.
    """
    contract.check()
    port: int = listener.getsockname()[1]
    containers = _containers(engine)
    launcher = Launcher(
        port=port, containers=containers, strict=engine == "docker", program=program, scratch=scratch
    )
    sagemaker = SageMaker(launcher=launcher, hide_rollbacks=hide_rollbacks)
    _patch(sagemaker, port=port, builds_images=containers is not None)
    if enforce_policies:
        iam.enforce()
        s3.enforce_key_permissions()
        lambdas.enforce_log_permissions()
    _announce(port, containers)
    try:
        _serve(listener)
    finally:
        launcher.close()


def _containers(engine: str) -> Containers | None:
    if engine == "process":
        return None
    if docker.engine_answers():
        docker.remove_abandoned()
        return Containers()
    if engine == "docker":
        raise LocalAwsError("Docker was requested, but no engine answers `docker version`. Start it.")
    return None


def _patch(sagemaker: SageMaker, *, port: int, builds_images: bool) -> None:
    async def answer(
        _method: str, path: str, headers: Mapping[str, str], body: bytes, _query: Mapping[str, object]
    ) -> app.Answer:
        # On threads: both wait, for a model server or for this very process.
        if path.startswith("/endpoints/"):
            return await asyncio.to_thread(api.invoke, sagemaker.endpoints, path, headers=headers, body=body)
        return await asyncio.to_thread(api.answer, sagemaker, headers, body)

    app.add_service("sagemaker", answer, target_prefix=api.TARGET_PREFIX)
    app.add_tags("sagemaker", sagemaker.tags)
    cloudformation.patch()
    stack_resources.add(sagemaker)
    resource_types.add()
    ecr.patch(port=port, builds_images=builds_images)
    apigateway.patch()
    lambdas.patch()
    drift.patch()
    cloudwatch.patch()
    validation.patch()


def _announce(port: int, containers: Containers | None) -> None:
    log.info("Local AWS answers at %s", endpoint_url(port))
    form = (
        "Docker containers of the image in this ECR" if containers else "plain processes, not in containers"
    )
    log.info("Endpoints run as %s.", form)
    log.info("A minute of a SageMaker update and of its alarms lasts %g s.", cloudwatch.MINUTE_S)
    if not iam.enforced():
        log.info("IAM policies, signatures and bucket policies are not enforced (--enforce-policies).")


def _serve(listener: socket.socket) -> None:
    config = uvicorn.Config(
        _local_only(app.application),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # ministack sends its own
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACEFUL_STOP_S,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _local_only(application: _Application) -> _Application:
    """Wrap an ASGI application so that it refuses requests from web pages of other hosts.

    The emulator checks no credentials by default, and a Lambda function is arbitrary code: any page in this
    machine's browser could create one. A page of another host sends its own `Origin` or, after DNS
    rebinding, its own `Host`.
    """

    async def local_only(
        scope: Mapping[str, Any], receive: object, send: Callable[..., Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan" or _is_local(dict(scope["headers"])):
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    return local_only


def _is_local(headers: dict[bytes, bytes]) -> bool:
    hosts = [urlsplit("//" + headers.get(b"host", b"").decode("latin-1")).hostname]
    if origin := headers.get(b"origin"):
        hosts.append(urlsplit(origin.decode("latin-1")).hostname)
    return all(host in ("localhost", HOST) or (host or "").endswith(".localhost") for host in hosts)
