"""Brings a variant's server up: fetches its model, chooses the form it runs in, waits until it is ready."""

from __future__ import annotations

import logging
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local.address import claim
from infra.local.leftovers import remove_files
from infra.local.sagemaker import artifact
from infra.local.sagemaker.artifact import ArtifactError
from infra.local.sagemaker.cloud import AccessDenied
from infra.local.sagemaker.server import Server, ServerError, minimal_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.local.sagemaker.cloud import Cloud
    from infra.local.sagemaker.containers import Docker
    from infra.local.sagemaker.variant import Variant

log = logging.getLogger("sagemaker")

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Running:
    """A variant that serves.

    Attributes
    ----------
    image
        What really runs: the image by its digest, or ``process:`` and the program.
    """

    variant: Variant
    server: Server
    image: str
    directory: Path


class Launcher:
    """Starts servers, and stops all of them at the end.

    Parameters
    ----------
    cloud
        Where models and images are fetched from.
    docker
        None where every server runs as a process.
    strict
        Whether an image that ECR does not hold is an error; else its variant runs as a process.
    program
        What the process form runs, as arguments of this Python.
    scratch
        A directory for models; whoever gives it removes it.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        docker: Docker | None,
        strict: bool,
        program: Sequence[str],
        scratch: Path,
    ) -> None:
        self._cloud = cloud
        self._docker = docker
        self._strict = strict
        self._program = program
        self._scratch = scratch
        self._running: set[Server] = set()
        self._lock = threading.Lock()

    def launch(self, variant: Variant, *, label: str) -> Running:
        """Start a variant's server and wait until it answers ``/ping``.

        Parameters
        ----------
        label
            Begins each of the server's lines in the log.

        Raises
        ------
        ServerError, AccessDenied
            If it does not come up; nothing of it is left then.
        """
        directory = self._scratch / f"model-{uuid.uuid4().hex[:12]}"
        server = None
        try:
            store = self._cloud.store(variant.role)
            model = artifact.unpack(variant.artifact, store=store, to=directory)
            server, image = self._start(variant, model=model, label=label)
            with self._lock:
                self._running.add(server)
            log.info("%s runs %s", label, image)
            server.wait_until_ready(timeout_s=variant.startup_timeout_s)
        except Exception as error:  # whatever went wrong, an endpoint must settle and nothing be left
            if server:
                self._stop(server)
            remove_files(directory)
            if isinstance(error, AccessDenied):
                raise
            if not isinstance(error, ServerError | ArtifactError):
                log.exception("%s could not be launched", label)
            raise ServerError(str(error)) from error
        return Running(variant=variant, server=server, image=image, directory=directory)

    def stop(self, running: Running) -> None:
        """Stop a variant's server and remove its model."""
        self._stop(running.server)
        remove_files(running.directory)

    def close(self) -> None:
        """Stop whatever still runs."""
        with self._lock:
            running = list(self._running)
        stopping = [threading.Thread(target=self._stop, args=(server,)) for server in running]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        if self._docker:
            self._docker.close()

    def _start(self, variant: Variant, *, model: Path, label: str) -> tuple[Server, str]:
        with claim(0) as free:
            port = free.getsockname()[1]
        # Asked where nothing is pulled as well: a role that may not pull is found out in either form.
        image = self._cloud.registry(variant.role).pull_name(variant.image)
        if self._docker and image:
            return self._docker.run(image, variant, model=model, port=port, label=label), image
        if self._docker and self._strict:
            raise ServerError(f"the image {variant.image} is not in the laptop's ECR")
        environment = minimal_environment() | {
            **variant.environment,
            "PYTHONPATH": str(ROOT),
            "MODEL_DIR": str(model),
            "BIND_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
        }
        command = [sys.executable, "-m", "infra.local.leash", *self._program]
        server = Server(command, environment=environment, port=port, label=label)
        return server, f"process: python {' '.join(self._program)}"

    def _stop(self, server: Server) -> None:
        server.stop()
        with self._lock:
            self._running.discard(server)
