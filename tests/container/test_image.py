"""The image at work: in a real engine, more locked down than any host would run it."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from container.predictor import Predictor
from tests.docker_engine import docker, succeeds

from . import pictures
from .containers import HARDENED, MEMORY, Container, inspect, internal_network, served, started

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = pictures.png(pictures.scan())
# Whether anything, be it a refusal, comes back from an address.
REACHES = """
import errno, socket
with socket.socket() as line:
    line.settimeout(2)
    print(line.connect_ex(("{address}", 80)) in (0, errno.ECONNREFUSED))
"""
LIMIT = """
from pathlib import Path
one, two = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
print((one if one.exists() else two).read_text())
"""
WITHOUT_COMMANDS = """
ARG IMAGE
FROM ${IMAGE}
USER root
RUN ["python3", "-c", "\\
import pathlib; \\
places = [pathlib.Path(place) for place in ('/usr/local/bin', '/usr/bin', '/usr/sbin', '/bin', '/sbin')]; \\
[file.unlink() for place in places for file in place.iterdir() \\
 if not file.is_dir() and not file.name.startswith('python')]"]
USER 10001:10001
"""


@pytest.fixture(scope="module")
def container(image: str, model_dir: Path) -> Iterator[Container]:
    with served(image, model_dir, "--env=MODEL_VERSION=7") as running:
        yield running


def test_the_image_answers_as_the_process_does(container: Container, model_dir: Path) -> None:
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": "heatmap=true"}
    answer = container.judge(IMAGE, **attributes)
    expected = Predictor.load(model_dir, version="7").predict(IMAGE, heatmap=True)
    assert answer.status == 200
    assert answer.json() == json.loads(json.dumps(expected))
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "heatmap=true"


@pytest.mark.parametrize(
    ("form", "modes"),
    [("JPEG", ["L", "RGB", "CMYK"]), ("PNG", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])],
    ids=["JPEG", "PNG"],
)
def test_what_was_left_out_of_the_packages_is_not_missed(
    container: Container, model_dir: Path, form: str, modes: list[str]
) -> None:
    predictor = Predictor.load(model_dir, version="7")
    for mode in modes:
        image = deep(pictures.scan()) if mode == "I;16" else pictures.scan().convert(mode)
        data = pictures.encoded(image, form)
        assert container.judge(data).json() == json.loads(json.dumps(predictor.predict(data))), mode


def deep(image: Image.Image) -> Image.Image:
    """The same picture in 16 bits."""
    return Image.fromarray(np.asarray(image, dtype=np.uint16) * 257)


def test_the_image_refuses_as_the_process_does(container: Container) -> None:
    answer = container.judge(IMAGE[:50])
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_server_is_not_root_and_can_write_nowhere(container: Container) -> None:
    identities = container.python("import os; print(os.getuid(), os.getgid(), *os.getgroups())")
    assert set(identities.split()) == {"10001"}
    for place in ("/opt/program/x", "/opt/packages/x", "/opt/ml/model/x", "/tmp/x"):
        assert not succeeds("exec", container.name, "python3", "-c", f"open('{place}', 'w')"), place


def test_memory_is_its_own_and_limited(container: Container) -> None:
    assert int(container.python(LIMIT)) == MEMORY
    assert inspect(container.name)["HostConfig"]["IpcMode"] == "private"


def test_every_line_of_the_log_is_json(container: Container) -> None:
    container.judge(IMAGE)
    events = [line["event"] for line in container.events()]
    assert events[0] == "ready"
    assert "request" in events


def test_it_needs_no_network_and_says_that_it_is_healthy(image: str, model_dir: Path) -> None:
    with started(image, model_dir, "--network=none", "--health-interval=1s") as name:
        Container(name, host="nowhere").wait_until_healthy()


def test_a_server_that_no_longer_answers_is_unhealthy(image: str, model_dir: Path) -> None:
    with served(image, model_dir, "--health-interval=1s", "--health-retries=1") as container:
        container.wait_until_healthy()
        docker("kill", "--signal=STOP", container.name)
        deadline = time.monotonic() + 30
        while inspect(container.name)["State"]["Health"]["Status"] != "unhealthy":
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_without_a_route_out_it_serves_who_is_on_its_network(image: str, model_dir: Path) -> None:
    # Given a container on a network from which none leads out
    outside = REACHES.format(address=gateway())
    with internal_network() as network, started(image, model_dir, f"--network={network}") as name:
        address = inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
        isolated = Container(name, host=address)
        # When this machine, which is on that network, asks it, then it answers
        isolated.wait_until_up()
        assert isolated.judge(IMAGE).status == 200
        # And when it asks what lies behind this machine, then nothing comes back
        assert isolated.python(outside) == "False"


def gateway() -> str:
    """The address by which this machine reaches others, or one that nobody has (RFC 5737)."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, destination, through, *_ = line.split()
        if int(destination, 16) == 0:
            return str(ipaddress.ip_address(int(through, 16).to_bytes(4, "little")))
    return "192.0.2.1"


def test_it_needs_no_shell_nor_any_other_command(image: str, model_dir: Path, tmp_path: Path) -> None:
    # Given the image without any command but Python
    (tmp_path / "Dockerfile").write_text(WITHOUT_COMMANDS)
    bare = f"{image}:bare"
    docker("build", "--quiet", "--tag", bare, f"--build-arg=IMAGE={image}", str(tmp_path))
    try:
        for command in ("/bin/sh", "ls"):
            assert not succeeds("run", "--rm", f"--entrypoint={command}", bare, "-c", "true"), command
        # When it is run, then it serves, is healthy and stops in order
        with served(bare, model_dir, "--health-interval=1s") as container:
            assert container.judge(IMAGE).status == 200
            container.wait_until_healthy()
            docker("stop", "--time=30", container.name)
            assert inspect(container.name)["State"]["ExitCode"] == 0
    finally:
        docker("image", "rm", bare)


def test_it_stops_in_order_and_in_time(image: str, model_dir: Path) -> None:
    with served(image, model_dir) as container:
        began = time.monotonic()
        docker("stop", "--time=30", container.name)
        assert time.monotonic() - began < 10  # SageMaker allows 30
        assert inspect(container.name)["State"]["ExitCode"] == 0
        assert container.events()[-1]["event"] == "stopped"


def test_without_a_model_it_ends_with_the_reason(image: str) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", *HARDENED, image], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert "/opt/ml/model/metadata.json" in json.loads(line)["reason"]
