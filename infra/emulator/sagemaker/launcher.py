"""Starts a variant's server, in a container or as a process, with the model that it downloads."""

from __future__ import annotations

import contextvars
import http.client
import logging
import shutil
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.emulator.ministack_patches import logs
from infra.emulator.ministack_patches.cloudwatch import record_invocation
from infra.emulator.ministack_patches.iam import AccessDenied
from infra.emulator.sagemaker.capture import Capture
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.model_server import Containers, ModelServer
from infra.emulator.sagemaker.resources import ServerError
from infra.local_aws import HOST
from infra.names import endpoint_log_group
from infra.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from infra.emulator.sagemaker.resources import Variant

log = logging.getLogger("sagemaker")

_SENDERS, _COPIES_HELD = 8, 40  # which bounds the memory of copies: each holds its request's body


@dataclass(frozen=True)
class Running:
    """A variant that serves."""

    variant: Variant
    server: ModelServer
    image: str  # what runs: the image by its digest, or "process:" and the program
    directory: Path
    capture: Capture | None
    shadow: Shadow | None = None

    def invoke(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Have the server answer, and publish the endpoint's metrics of that."""
        connection = http.client.HTTPConnection(HOST, self.server.port, timeout=timeout_s)
        began, status = time.monotonic(), 0
        try:
            connection.request("POST", "/invocations", body=body, headers=headers)
            response = connection.getresponse()
            content, status = response.read(), response.status
        finally:
            connection.close()
            seconds = time.monotonic() - began
            record_invocation(endpoint, self.variant.name, status=status, seconds=seconds)
        return response, content


class Shadow:
    """A variant beside another that gets copies of a share of its requests, in the background.

    A copy that finds too many others is dropped: a caller never waits for a slow shadow. What SageMaker does
    then is **unverified on AWS**.
    """

    def __init__(self, running: Running, *, share: float) -> None:
        self.running = running
        self._share, self._credit = share, 0.0
        self._room = threading.Semaphore(_COPIES_HELD)
        self._senders = ThreadPoolExecutor(_SENDERS)
        self._lock = threading.Lock()

    def copy(self, send: Callable[[], object]) -> None:
        """Have `send` send a copy, if this request is of the share; how that ends is nobody's concern."""
        with self._lock:
            self._credit += self._share
            if self._credit < 1:
                return
            self._credit -= 1
        if self._room.acquire(blocking=False):
            with suppress(RuntimeError):  # after `close`
                # In the request's context, which has the region of metrics and captured data.
                sent = self._senders.submit(contextvars.copy_context().run, send)
                sent.add_done_callback(lambda _: self._room.release())

    def close(self) -> None:
        """Send no more, also of those that wait."""
        self._senders.shutdown(wait=False, cancel_futures=True)


@dataclass(kw_only=True)
class Launcher:
    """Starts servers, and stops all of them at the end.

    Without `containers` every server runs as a process. With them an image that ECR does not hold runs as a
    process too, or is an error if `strict`. The caller removes `scratch`, which holds the models.
    """

    port: int
    containers: Containers | None
    strict: bool
    program: Sequence[str]
    scratch: Path

    def __post_init__(self) -> None:
        self._servers: set[ModelServer] = set()
        self._lock = threading.Lock()

    def launch(self, variant: Variant, *, label: str, logs_to: tuple[str, str] | None = None) -> Running:
        """Start a variant's server and wait for its ``/ping``; leave nothing of one that fails.

        It logs to its endpoint's group, or to this group, which it creates, and stream.
        """
        directory = self.scratch / f"model-{uuid.uuid4().hex[:12]}"
        server = None
        try:
            role = ExecutionRole(variant.role, port=self.port)
            if variant.volume_key:
                role.check_volume_key(variant.volume_key)
            model = role.unpack(variant.artifact, to=directory)
            server, image = self._start(variant, role, model=model, label=label, logs_to=logs_to)
            with self._lock:
                self._servers.add(server)
            log.info("%s runs %s", label, image)
            server.wait_until_ready(timeout_s=variant.startup_timeout_s)
        except Exception as error:  # whatever went wrong, the endpoint must settle and leave nothing behind
            if server:
                self.end(server)
            shutil.rmtree(directory, ignore_errors=True)
            if isinstance(error, AccessDenied | ServerError):
                raise
            log.exception("%s could not be launched", label)
            raise ServerError(str(error)) from error
        capture = Capture(variant.data_capture, label=label, role=role) if variant.data_capture else None
        return Running(variant, server, image, directory, capture)

    def stop(self, running: Running) -> None:
        """Stop a variant's server and remove its model; its shadow's too."""
        if running.shadow:
            running.shadow.close()
            self.stop(running.shadow.running)
        self.end(running.server)
        if running.capture:
            running.capture.write()
        shutil.rmtree(running.directory, ignore_errors=True)

    def run(
        self, file: str, *, label: str, role: str, logs_to: tuple[str, str], environment: Mapping[str, str]
    ) -> ModelServer:
        """Start a Python file that serves nothing and ends by itself, or by `end`."""
        write = logs.writer(*logs_to, role=role, creates_group=True)
        command = [sys.executable, "-m", "infra.emulator.process.child", file]
        environment = {**environment, "PYTHONPATH": str(ROOT)}
        with self._lock:
            started = ModelServer(command, environment=environment, label=label, write=write)
            self._servers.add(started)
        return started

    def close(self) -> None:
        """Stop every server that still runs."""
        with self._lock:
            servers = list(self._servers)
        with ThreadPoolExecutor(max_workers=len(servers) or 1) as pool:
            list(pool.map(self.end, servers))
        if self.containers:
            self.containers.close()

    def _start(
        self,
        variant: Variant,
        role: ExecutionRole,
        *,
        model: Path,
        label: str,
        logs_to: tuple[str, str] | None,
    ) -> tuple[ModelServer, str]:
        # Looked up even if nothing is pulled, so that both forms need the role's permission to pull.
        image = role.find_image(variant.image)
        endpoint, _, name = label.partition("/")
        group, stream = logs_to or (endpoint_log_group(endpoint), name)
        write = logs.writer(group, stream, role=variant.role, creates_group=logs_to is not None)
        if self.containers and image:
            return self.containers.run(image.name, variant, model=model, label=label, write=write), image.name
        if self.containers and self.strict:
            raise ServerError(f"the image {variant.image} is not in local AWS's ECR")
        environment = {
            **variant.environment,
            "PYTHONPATH": str(ROOT),
            "MODEL_DIR": str(model),
            "BIND_HOST": HOST,
            "SAGEMAKER_BIND_TO_PORT": "0",  # any free one, which its line "ready" names
        }
        command = [sys.executable, "-m", "infra.emulator.process.child", *self.program]
        server = ModelServer(command, environment=environment, label=label, write=write)
        return server, f"process: {' '.join(self.program)}"

    def end(self, server: ModelServer) -> None:
        """Stop a server or a file, if it still runs."""
        server.stop()
        with self._lock:
            self._servers.discard(server)
