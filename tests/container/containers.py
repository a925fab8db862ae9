"""Builds the serving image, and runs it more locked down than any host would."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.container.serving import START_S, Client
from tests.docker_engine import docker, find_base_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAG = "tumor-detector-test"
MEMORY = 512 * 1024**2
# Nowhere to write, no rights, no way to gain any, no memory shared with others, little memory and no swap.
HARDENED = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--ipc=private"),
    *(f"--memory={MEMORY}", f"--memory-swap={MEMORY}"),
)


def build(tag: str, context: Path, **arguments: str) -> str:
    """Build the image from a folder, with further build arguments, and return its tag."""
    named = {"BASE_IMAGE": find_base_image(), **arguments}
    options = [f"--build-arg={name}={value}" for name, value in named.items()]
    docker("build", "--quiet", "--tag", tag, *options, str(context))
    return tag


def inspect(name: str) -> dict[str, Any]:
    """Return all that Docker knows of an image or a container."""
    described: list[dict[str, Any]] = json.loads(docker("inspect", name))
    return described[0]


def run_python(image: str, code: str) -> str:
    """Run a line of Python in an image, as its server would run, and return what it prints."""
    return docker("run", "--rm", "--network=none", "--entrypoint=python3", image, "-c", code)


class Container(Client):
    """A running container, whose server is reached through a port of this machine or at its own address."""

    def __init__(self, name: str, *, host: str | None = None) -> None:
        self.name = name
        if host is None:
            self.port = int(docker("port", name, "8080/tcp").rpartition(":")[2])
        else:
            self.host, self.port = host, 8080

    def wait_until_up(self) -> None:
        """Return once the server answers that it is ready, or fail with its log."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if self.request("GET", "/ping").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"the container did not come up:\n{docker('logs', self.name)}")

    def events(self) -> list[dict[str, Any]]:
        """Return every line of the log; one that is no JSON object fails the test."""
        return [dict(json.loads(line)) for line in docker("logs", self.name).splitlines()]

    def python(self, code: str) -> str:
        """Run a line of Python beside the server, and return what it prints."""
        return docker("exec", self.name, "python3", "-c", code)

    def health(self) -> str:
        """Return the state of Docker's own health check: starting, healthy or unhealthy."""
        return str(inspect(self.name)["State"]["Health"]["Status"])


@contextmanager
def started(image: str, model_dir: Path, *options: str) -> Iterator[str]:
    """Run the image in the background; yields the container's name and removes it in the end."""
    name = f"tumor-detector-test-{uuid.uuid4().hex[:8]}"
    model = f"--volume={model_dir}:/opt/ml/model:ro"
    try:
        docker("run", "--detach", f"--name={name}", *HARDENED, model, *options, image, "serve")
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


@contextmanager
def served(image: str, model_dir: Path, *options: str) -> Iterator[Container]:
    """Run the image with its port published to this machine, and wait until it serves."""
    with started(image, model_dir, "--publish=127.0.0.1::8080", *options) as name:
        running = Container(name)
        running.wait_until_up()
        yield running


@contextmanager
def internal_network() -> Iterator[str]:
    """Make a Docker network without a route to any other."""
    name = f"tumor-detector-test-{uuid.uuid4().hex[:8]}"
    docker("network", "create", "--internal", name)
    try:
        yield name
    finally:
        docker("network", "rm", name)
