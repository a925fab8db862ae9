"""The emulator's own process: ministack's application, and what this package adds to it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import uvicorn
from ministack import app as ministack
from ministack.core import router

from infra.local import alarms, cloudformation, declared, ecr, gateway, lambdas, leftovers, policies, recorded
from infra.local.address import LocalAwsError, endpoint_url
from infra.local.clients import Laptop
from infra.local.guard import local_only
from infra.local.sagemaker import api, runtime
from infra.local.sagemaker.containers import Docker
from infra.local.sagemaker.launcher import Launcher
from infra.local.sagemaker.service import SageMaker

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from infra.local.sagemaker.api import Answer

log = logging.getLogger("laptop")
_GRACEFUL_STOP_S = 5


def run(
    listener: socket.socket, *, engine: str, program: Sequence[str], scratch: Path, enforce_policies: bool
) -> None:
    """Serve on a socket until SIGTERM or SIGINT, then stop every endpoint.

    Parameters
    ----------
    engine
        What endpoints run in; see `infra.local.laptop.LocalAws`.
    program
        What the process form of an endpoint runs, as arguments of this Python.
    scratch
        A directory for the endpoints' models.
    enforce_policies
        Whether roles may do what their policies allow and no more; see `infra.local.policies`.

    Raises
    ------
    LocalAwsError
        If Docker is asked for and no engine answers.
    """
    port: int = listener.getsockname()[1]
    docker = _docker(engine)
    laptop = Laptop(port=port)
    launcher = Launcher(
        cloud=laptop,
        docker=docker,
        strict=engine == "docker",
        program=program,
        scratch=scratch,
    )
    _extend(SageMaker(cloud=laptop, launcher=launcher), port=port, builds_images=docker is not None)
    if enforce_policies:
        policies.enforce()
    _announce(port, docker)
    try:
        _serve(listener)
    finally:
        launcher.close()


def _docker(engine: str) -> Docker | None:
    if engine == "process":
        return None
    if Docker.answers():
        leftovers.remove_containers()
        return Docker()
    if engine == "docker":
        raise LocalAwsError("Docker was asked for, but no engine answers to `docker version`. Start it.")
    return None


def _extend(sagemaker: SageMaker, *, port: int, builds_images: bool) -> None:
    """Enter in ministack's own tables what it lacks."""

    async def answer(
        _method: str, path: str, headers: Mapping[str, str], body: bytes, _query: Mapping[str, object]
    ) -> Answer:
        # On threads: both wait, for a container or for this very process.
        if name := runtime.endpoint_of(path):
            if refused := runtime.refused(name, headers):
                return refused
            return await asyncio.to_thread(
                runtime.invoke, sagemaker.endpoints, name, headers=headers, body=body
            )
        target = headers.get("x-amz-target", "")
        if refused := api.refused(target, headers, body):
            return refused
        return await asyncio.to_thread(api.answer, sagemaker, target, body)

    ministack.SERVICE_HANDLERS["sagemaker"] = answer
    router.SERVICE_PATTERNS["sagemaker"] = {"target_prefixes": [api.TARGET_PREFIX], "host_patterns": []}
    cloudformation.register(sagemaker)
    recorded.register()
    declared.register()
    ecr.mend(port=port, builds_images=builds_images)
    gateway.complete()
    lambdas.mend()
    alarms.mend()


def _announce(port: int, docker: Docker | None) -> None:
    log.info("AWS on this laptop: %s", endpoint_url(port))
    form = "Docker containers of the image in this ECR" if docker else "plain processes, not in containers"
    log.info("Endpoints run as %s.", form)
    log.info("A minute of a SageMaker update and of the alarms that guard it lasts %g s.", alarms.MINUTE_S)
    log.info("Declared but not emulated: %s.", ", ".join(recorded.RECORDED))
    unenforced = [] if policies.enforced() else [recorded.POLICIES]
    log.info("Without effect: %s.", "; ".join([*unenforced, *recorded.WITHOUT_EFFECT]))


def _serve(listener: socket.socket) -> None:
    config = uvicorn.Config(
        local_only(ministack.app),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # ministack sends its own
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACEFUL_STOP_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
