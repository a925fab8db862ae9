"""What `scripts/demo` promises besides an answer: exit statuses, clear lines, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import clean_environment, copy_tree, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Laptop

LIMIT_S = 300


@pytest.fixture(scope="module")
def second_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(to=tmp_path_factory.mktemp("second-clone"))


def demo(copy: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/demo", "--once", *arguments], cwd=copy, env=clean_environment() | variables,
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip


REPOSITORY = "tumor-detector-local"
DOCKER_V2 = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def deployed(laptop: Laptop) -> str:
    """The image that serves, where an engine runs it."""
    serving = laptop.client("sagemaker").describe_endpoint(EndpointName="tumor-detector-local-real-time")
    image = serving["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"]
    if image.startswith("process:"):
        reason = next(line for line in laptop.log.read_text().splitlines() if line.startswith("Serving:"))
        if os.environ.get("CI"):
            pytest.fail(f"CI must have an engine and a base image. {reason}")
        pytest.skip(reason)
    return str(image)


def test_docker_runs_the_very_image_that_the_deploy_pushed(laptop: Laptop, deployed: str) -> None:
    pushed = laptop.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert deployed in {f"localhost:{laptop.port}/{REPOSITORY}@{each['imageDigest']}" for each in pushed}


def test_the_deploy_pushed_a_manifest_that_sagemaker_takes(laptop: Laptop, deployed: str) -> None:
    """Not OCI's index, which holds a build's attestations beside the image."""
    digest = deployed.partition("@")[2]
    answer = laptop.client("ecr").batch_get_image(
        repositoryName=REPOSITORY, imageIds=[{"imageDigest": digest}]
    )
    [image] = answer["images"]
    assert image["imageManifestMediaType"] == DOCKER_V2
    assert json.loads(image["imageManifest"])["mediaType"] == DOCKER_V2


def test_without_docker_the_same_deploy_serves_from_a_process(laptop: Laptop, second_copy: Path) -> None:
    # Given the champion that the first demo trained on the same phantoms
    store = f"sqlite:///{laptop.root / 'mlruns' / 'mlflow.db'}"
    # When another demo is run once, on another port
    port = free_port()
    done = demo(second_copy, "--json", "--engine", "process", "--port", str(port), MLFLOW_TRACKING_URI=store)
    # Then it reuses that model, says what it runs in, and ends well with two predictions in its last line
    assert done.returncode == 0, done.stderr
    assert "reusing it" in done.stderr
    assert "image: process: python -m container serve" in done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["url"].startswith(f"http://localhost:{port}/")
    assert [prediction["truth"] for prediction in answer["predictions"]] == [1, 0]
    assert is_free(port)


def test_a_taken_port_and_an_absent_folder_are_said_at_once(laptop: Laptop, second_copy: Path) -> None:
    taken = demo(second_copy, "--engine", "process", "--port", str(laptop.port))
    assert taken.returncode == 1
    assert f"Port {laptop.port} of 127.0.0.1 cannot be used" in taken.stderr
    absent = demo(second_copy, "--data", "no/such/folder")
    assert absent.returncode == 1
    assert "no/such/folder" in absent.stderr
    assert "Traceback" not in taken.stderr + absent.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_trains_it_leaves_nothing_behind(
    second_copy: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    # Given a demo that has begun to train
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as errors:
        running = subprocess.Popen(
            ["scripts/demo", "--once", "--engine", "process", "--port", str(port)],
            cwd=second_copy, env=clean_environment(), stdout=errors, stderr=errors,
        )  # fmt: skip
    wait_until(lambda: "training" in log.read_text(), what=log)
    time.sleep(2)
    # When it alone is told to stop
    running.send_signal(ending)
    # Then it says so and takes all that it started along
    assert running.wait(timeout=60) == 130
    assert log.read_text().rstrip().endswith("stopped")
    assert is_free(port)
    left = subprocess.run(["pgrep", "-af", str(second_copy)], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_until(happened: Callable[[], bool], *, what: Path) -> None:
    until = time.monotonic() + LIMIT_S
    while not happened():
        if time.monotonic() > until:
            pytest.fail(f"it never began to train:\n{what.read_text()}")
        time.sleep(0.2)
