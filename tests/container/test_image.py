"""The image itself: built from the Dockerfile, and run more locked down than any host would."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from container.predictor import Predictor
from tests.docker_engine import docker, find_base_image, succeeds

from . import pictures
from .serving import ROOT, START_S, Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = pictures.png(pictures.scan())
TAG = "tumor-detector-test"
# Nothing to write to, no rights, no way to gain any.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m")


@pytest.fixture(scope="session")
def image() -> str:
    base = f"--build-arg=BASE_IMAGE={find_base_image()}"
    docker("build", "--quiet", "--tag", TAG, base, str(ROOT / "container"))
    return TAG


class Container(Client):
    """A running container whose server is reached through a port of this machine."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = int(docker("port", name, "8080/tcp").rpartition(":")[2])

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if self.ask("GET", "/ping").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"the container did not come up:\n{docker('logs', self.name)}")


@contextmanager
def started(image: str, model_dir: Path, *options: str) -> Iterator[str]:
    """Run the image in the background; yields the container's id and removes it in the end."""
    model = f"--volume={model_dir}:/opt/ml/model:ro"
    name = docker("run", "--detach", *HARDENED, model, *options, image, "serve")
    try:
        yield name
    finally:
        docker("rm", "--force", name)


@pytest.fixture(scope="module")
def container(image: str, model_dir: Path) -> Iterator[Container]:
    with started(image, model_dir, "--publish=127.0.0.1::8080", "--env=MODEL_VERSION=7") as name:
        running = Container(name)
        running.wait_until_up()
        yield running


def test_the_image_answers_as_the_process_does(container: Container, model_dir: Path) -> None:
    answer = container.judge(IMAGE, **{"X-Amzn-SageMaker-Custom-Attributes": "heatmap=true"})
    expected = Predictor.load(model_dir, version="7").predict(IMAGE, heatmap=True)
    assert answer.status == 200
    assert answer.json() == json.loads(json.dumps(expected))


def test_the_image_refuses_as_the_process_does(container: Container) -> None:
    answer = container.judge(IMAGE[:50])
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_server_is_not_root_and_can_write_nowhere(container: Container) -> None:
    assert docker("exec", container.name, "id", "-u") == "10001"
    for place in ("/opt/program/x", "/opt/ml/model/x", "/tmp/x"):
        assert not succeeds("exec", container.name, "touch", place), place


def test_every_line_of_the_log_is_json(container: Container) -> None:
    container.judge(IMAGE)
    events = [json.loads(line)["event"] for line in docker("logs", container.name).splitlines()]
    assert events[0] == "ready"
    assert "request" in events


def test_it_needs_no_network_and_says_that_it_is_healthy(image: str, model_dir: Path) -> None:
    with started(image, model_dir, "--network=none", "--health-interval=1s") as name:
        deadline = time.monotonic() + START_S
        state = "starting"
        while state == "starting" and time.monotonic() < deadline:
            time.sleep(0.2)
            state = docker("inspect", "--format={{.State.Health.Status}}", name)
        assert state == "healthy", docker("logs", name)


def test_it_stops_in_order_and_in_time(image: str, model_dir: Path) -> None:
    with started(image, model_dir, "--publish=127.0.0.1::8080") as name:
        Container(name).wait_until_up()
        began = time.monotonic()
        docker("stop", "--time=30", name)
        assert time.monotonic() - began < 10  # SageMaker allows 30
        assert docker("inspect", "--format={{.State.ExitCode}}", name) == "0"


def test_without_a_model_it_ends_with_the_reason(image: str) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", *HARDENED, image], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert "/opt/ml/model/metadata.json" in json.loads(line)["reason"]


def test_it_declares_what_sagemaker_and_a_reader_look_for(image: str) -> None:
    config = json.loads(docker("image", "inspect", "--format={{json .Config}}", image))
    assert config["Entrypoint"] == ["python3", "-m", "container"]  # exec form: it gets the signals itself
    assert config["Cmd"] == ["serve"]
    assert config["User"] == "10001:10001"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert config["Labels"]["org.opencontainers.image.title"] == "tumor-detector"


def test_it_holds_the_program_compiled_and_nothing_to_install_or_train_with(image: str) -> None:
    listing = docker("run", "--rm", "--entrypoint=ls", image, "-R", "/opt/program", "/opt/packages")
    names = set(listing.split())
    sources = {path.stem for path in (ROOT / "container").glob("*.py")}
    assert {f"{source}.cpython-311.pyc" for source in sources} <= names
    assert names.isdisjoint({"pip", "tensorflow", "keras", "mlflow", "Dockerfile", "requirements.lock"})
