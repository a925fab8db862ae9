"""What `scripts/demo` promises besides a prediction: exit statuses, clear errors, and nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from infra.local_aws import HOST, endpoint_url
from model.data import phantom
from tests.dicom_files import SYNTAXES, bits_of, dicom
from tests.e2e.conftest import clean_environment, copy_tree, free_port
from tests.emulator.cloud import wait_for
from tests.unavailable import unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Demo

LIMIT_S = 300
REPOSITORY = "tumor-detector-local"


@pytest.fixture(scope="module")
def second_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(to=tmp_path_factory.mktemp("second-clone"))


def run_demo(copy: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/demo", "--once", *arguments], cwd=copy, env=clean_environment() | variables,
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip


def test_docker_runs_the_very_image_that_the_deploy_pushed(demo: Demo) -> None:
    serving = demo.client("sagemaker").describe_endpoint(EndpointName="tumor-detector-local-real-time")
    image = serving["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"]
    if image.startswith("process:"):
        unavailable("the endpoint runs as a process, not in Docker")
    pushed = demo.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert image in {f"{HOST}:{demo.port}/{REPOSITORY}@{each['imageDigest']}" for each in pushed}


def test_a_taken_port_and_an_absent_folder_are_reported_at_once(demo: Demo, second_copy: Path) -> None:
    taken = run_demo(second_copy, "--engine", "process", "--port", str(demo.port))
    assert taken.returncode == 1
    assert f"Port {demo.port} of 127.0.0.1 cannot be used" in taken.stderr
    absent = run_demo(second_copy, "--data", "no/such/folder")
    assert absent.returncode == 1
    assert "no/such/folder" in absent.stderr
    assert "Traceback" not in taken.stderr + absent.stderr


@pytest.mark.slow
def test_without_docker_the_same_deploy_serves_from_a_process(demo: Demo, second_copy: Path) -> None:
    # Given the champion that the first demo trained on the same phantoms
    store = f"sqlite:///{demo.root / 'mlruns' / 'mlflow.db'}"
    # When another demo is run once, on another port
    port = free_port()
    done = run_demo(
        second_copy, "--json", "--engine", "process", "--port", str(port), MLFLOW_TRACKING_URI=store
    )
    # Then it reuses that model, reports what it runs in, and its last line has two predictions
    assert done.returncode == 0, done.stderr
    assert "reusing tumor-detector-phantom version 1" in done.stderr
    (log,) = (second_copy / ".local" / "demos").glob(f"*-{port}/demo.log")
    assert "image: process: container.__main__:main serve" in log.read_text()
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["url"].startswith(endpoint_url(port) + "/")
    assert [prediction["truth"] for prediction in result["predictions"]] == [1, 0]
    assert is_free(port)


@pytest.mark.slow
def test_a_folder_of_dicom_files_is_trained_on_deployed_and_classified(
    second_copy: Path, tmp_path: Path
) -> None:
    phantom.write_folder(tmp_path, count=60, seed=9_000)
    for number, drawn in enumerate(sorted(tmp_path.glob("*/*.png"))):
        syntax = SYNTAXES[number % len(SYNTAXES)]
        image = Image.open(drawn)
        even = image.crop((0, 0, image.width // 2 * 2, image.height))  # GDCM writes no odd number of bytes
        data = dicom(even, syntax=syntax, bits=bits_of(syntax))
        drawn.with_suffix(".dcm").write_bytes(data)
        drawn.unlink()
    port = free_port()
    arguments = ("--json", "--engine", "process", "--port", str(port), "--data", str(tmp_path))
    done = run_demo(second_copy, *arguments)
    assert done.returncode == 0, done.stderr
    predictions = json.loads(done.stdout.splitlines()[-1])["predictions"]
    assert [prediction["truth"] for prediction in predictions] == [1, 0]
    assert all(prediction["image"].endswith(".dcm") for prediction in predictions)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_trains_it_leaves_nothing_behind(
    second_copy: Path, tmp_path: Path, number: signal.Signals
) -> None:
    # Given a demo that has begun to train
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as output:
        running = subprocess.Popen(
            ["scripts/demo", "--once", "--engine", "process", "--port", str(port)],
            cwd=second_copy, env=clean_environment(), stdout=output, stderr=output,
        )  # fmt: skip
    demos = second_copy / ".local" / "demos"
    wait_for(lambda: list(demos.glob(f"*-{port}/train.log")), timeout_s=LIMIT_S)
    # When it alone receives the signal
    running.send_signal(number)
    # Then it reports that, and ends all that it started
    assert running.wait(timeout=60) == 130
    assert log.read_text().rstrip().endswith("stopped")
    assert is_free(port)
    left = subprocess.run(["pgrep", "-af", str(second_copy)], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
