"""Our server in Docker: the image built as a deploy builds it, run read-only, asked over its own address."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from infra.local.docker import docker
from scripts.benchmark import network, processes, servers
from scripts.benchmark.places import HOME, ROOT, BenchmarkError
from scripts.benchmark.wire import message
from scripts.delivery import engine
from scripts.delivery.console import step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.benchmark.images import Image
    from scripts.benchmark.rows import Row

NAME = "ours-docker"
TAG = "tumor-detector-bench"
PORT = 8080
_BUILD_S = 900


def obstacle() -> str | None:
    """Say what keeps the image from being built and run here, or None."""
    chosen = engine.choose("auto")
    return None if chosen.name == "docker" else chosen.reason


def build() -> None:
    """Build the image.

    Raises
    ------
    BenchmarkError
        With what the engine said last.
    """
    base = os.environ.get(engine.BASE_IMAGE_VARIABLE)
    arguments = [f"--build-arg=BASE_IMAGE={base}"] if base else []
    with step("building the image"):
        _docker("build", "--quiet", "--tag", TAG, *arguments, str(ROOT / "container"), timeout_s=_BUILD_S)


def added_bytes() -> int:
    """Bytes of what the image adds to its base, unpacked."""
    [image] = json.loads(_docker("image", "inspect", TAG))
    base = image["Config"]["Labels"]["org.opencontainers.image.base.name"]
    return int(image["Size"]) - int(_docker("image", "inspect", "--format", "{{.Size}}", base))


@contextlib.contextmanager
def serving(row: Row, image: Image) -> Iterator[servers.Server]:
    """Run the container for as long as the block lasts; `image` is the first that it is asked about.

    It is asked over its own address on the bridge: Docker's proxy for published ports is no part of it.
    """
    log = HOME / "logs" / f"{NAME}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    first = message(row.wire, image)
    began = time.perf_counter()
    container = _docker(
        "run", "--detach", "--read-only", "--volume", f"{network.SERVING}:/opt/ml/model:ro",
        "--env", f"SAGEMAKER_MODEL_SERVER_WORKERS={row.workers}", TAG, "serve",
    )  # fmt: skip
    try:
        address, root = _place(container)
        ping_s, prediction_s = servers.first_answers(
            row,
            address,
            PORT,
            first,
            began=began,
            ended=lambda: not (processes.PROC / str(root)).exists(),
            log=log,
        )
        yield servers.Server(row, root, address, PORT, log, ping_s, prediction_s)
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}\n{_logs(container, log)}") from error
    finally:
        docker("rm", "--force", container)


def _place(container: str) -> tuple[str, int]:
    """Address of a container on the bridge, and the id of its first process as this machine knows it."""
    [found] = json.loads(_docker("inspect", container))
    networks = found["NetworkSettings"]["Networks"].values()
    address = next((each["IPAddress"] for each in networks if each["IPAddress"]), None)
    if address is None or not found["State"]["Running"]:
        raise BenchmarkError("the container has ended, or has no address")
    return str(address), int(found["State"]["Pid"])


def _logs(container: str, log: Path) -> str:
    done = docker("logs", "--tail", "15", container)
    log.write_text(done.stdout + done.stderr)
    return done.stdout + done.stderr


def _docker(*arguments: str, timeout_s: float = 60) -> str:
    done = docker(*arguments, timeout_s=timeout_s)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise BenchmarkError(f"docker {arguments[0]} failed:\n{last}")
    return done.stdout.strip()
