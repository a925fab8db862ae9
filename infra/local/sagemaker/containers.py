"""Endpoints as containers of this machine's Docker engine."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from infra.local import leftovers
from infra.local.docker import docker
from infra.local.leash import GRACE_S
from infra.local.sagemaker.server import Server, ServerError, minimal_environment

if TYPE_CHECKING:
    from pathlib import Path

    from infra.local.sagemaker.variant import Variant

_PULL_TIMEOUT_S = 600


class Docker:
    """Runs images on this machine's Docker engine."""

    def __init__(self) -> None:
        self._network: str | None = None

    @staticmethod
    def answers() -> bool:
        """Whether there is a `docker` command and an engine behind it."""
        try:
            return docker("version", "--format", "{{.Server.Version}}", timeout_s=10).returncode == 0
        except OSError:
            return False

    def run(self, image: str, variant: Variant, *, model: Path, port: int, label: str) -> Server:
        """Start a container as SageMaker would: argument ``serve``, port 8080, the model under /opt/ml/model.

        Stricter than SageMaker in one thing: the root file system is read-only, with a temporary /tmp.
        """
        pulled = docker("pull", "--quiet", image, timeout_s=_PULL_TIMEOUT_S)
        if pulled.returncode:
            raise ServerError(f"the image {image} cannot be pulled: {pulled.stderr.strip()}")
        name = f"tumor-detector-{uuid.uuid4().hex[:12]}"
        command = [
            *("docker", "run", "--rm", "--name", name, "--label", leftovers.label(os.getpid())),
            *("--publish", f"127.0.0.1:{port}:8080", "--volume", f"{model}:/opt/ml/model:ro"),
            *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),  # noqa: S108
            *("--stop-timeout", f"{GRACE_S:.0f}", "--network", self._network_of(variant)),
            *(["--memory", f"{variant.memory_mb}m"] if variant.memory_mb else []),
            *(f"--env={key}={value}" for key, value in variant.environment.items()),
            *(image, "serve"),
        ]
        return Server(
            command,
            environment=minimal_environment(),
            port=port,
            label=label,
            discard=("docker", "rm", "--force", name),
        )

    def close(self) -> None:
        """Remove the network, once no container uses it any more."""
        if self._network:
            docker("network", "rm", self._network)

    def _network_of(self, variant: Variant) -> str:
        """Return the network to run in.

        Docker publishes no port of an internal network. A bridge without address translation does publish,
        and nothing outside can answer what a container sends: as near to SageMaker's isolation as it gets.
        """
        if not variant.network_isolation:
            return "bridge"
        if self._network is None:
            name = f"tumor-detector-isolated-{uuid.uuid4().hex[:12]}"
            option = "com.docker.network.bridge.enable_ip_masquerade=false"
            made = docker("network", "create", "--opt", option, "--label", leftovers.label(os.getpid()), name)
            if made.returncode:
                raise ServerError(f"no isolated network could be made: {made.stderr.strip()}")
            self._network = name
        return self._network
