"""The image at work: in a real engine, more locked down than any host would run it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from container.predictor import Predictor
from container.problem import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from tests.container import containers, samples
from tests.container.containers import MEMORY, Container, inspect, internal_network, served, started
from tests.container.processes import wait_until
from tests.container.serving import assert_problem
from tests.dicom_files import SYNTAXES, dicom
from tests.docker_engine import docker, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.container.serving import Answer

IMAGE = samples.png(samples.scan())
MIB = 1024**2
AT_ONCE = 32
LITTLE = 128 * MIB  # an image with the most pixels takes 100 MB in its file's own mode alone
# What the server's heap may keep in its gaps after 128 MiB of bodies at once; a leak would keep far more.
GAPS = 32 * MIB
VERSION = "--env=MODEL_VERSION=7"
WORKERS = "--env=SAGEMAKER_MODEL_SERVER_WORKERS=2"
# Memory that the container's processes hold, without what the kernel caches of files.
HELD = """
from pathlib import Path
one, two = Path("/sys/fs/cgroup/memory.stat"), Path("/sys/fs/cgroup/memory/memory.stat")
name, file = ("anon", one) if one.exists() else ("rss", two)
print(dict(line.split() for line in file.read_text().splitlines())[name])
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
    with served(image, model_dir, VERSION) as running:
        yield running


def predictions(model_dir: Path, images: Sequence[bytes], *, heatmap: bool = False) -> list[object]:
    """Return what the container is to answer to each image."""
    predictor = Predictor.load(model_dir, version="7")
    return [json.loads(json.dumps(predictor.predict(image, heatmap=heatmap))) for image in images]


@pytest.mark.parametrize(
    ("form", "modes"),
    [
        ("JPEG", ["L", "RGB", "CMYK"]),
        ("PNG", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
        ("DICOM", [*SYNTAXES]),
    ],
)
def test_the_image_answers_as_the_process_does_without_the_files_left_out_of_its_packages(
    container: Container, model_dir: Path, form: str, modes: list[str]
) -> None:
    if form == "DICOM":
        images = [dicom(samples.scan(), syntax=syntax, bits=8) for syntax in modes]
    else:
        scans = [
            samples.sixteen_bits(samples.scan()) if mode == "I;16" else samples.scan().convert(mode)
            for mode in modes
        ]
        images = [samples.encoded(scan, form) for scan in scans]
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": "heatmap=true"}
    answers = [container.predict(image, **attributes).json() for image in images]
    assert answers == predictions(model_dir, images, heatmap=True)


def test_the_server_is_not_root_and_can_write_nowhere(container: Container) -> None:
    identities = container.python("import os; print(os.getuid(), os.getgid(), *os.getgroups())")
    assert set(identities.split()) == {"10001"}
    for place in ("/opt/program/x", "/opt/packages/x", "/opt/ml/model/x", "/tmp/x"):
        assert not succeeds("exec", container.name, "python3", "-c", f"open('{place}', 'w')"), place


def test_a_server_that_no_longer_answers_is_unhealthy(image: str, model_dir: Path) -> None:
    with served(image, model_dir, "--health-interval=1s", "--health-retries=1") as container:
        wait_until(lambda: container.health() == "healthy", "the container is healthy")
        docker("kill", "--signal=STOP", container.name)
        wait_until(lambda: container.health() == "unhealthy", "the container is unhealthy")


def test_another_user_is_a_build_argument(image: str, context: Path, model_dir: Path) -> None:
    rooted = containers.build(f"{image}:rooted", context, IMAGE_USER="0:0")
    try:
        with served(rooted, model_dir) as container:
            assert container.python("import os; print(os.getuid())") == "0"
            assert container.predict(IMAGE).status == 200
            assert {event["level"] for event in container.events()} == {"info"}
    finally:
        docker("image", "rm", rooted)


def test_it_serves_a_network_without_a_route_out(image: str, model_dir: Path) -> None:
    with internal_network() as network, started(image, model_dir, f"--network={network}") as name:
        address = inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
        isolated = Container(name, host=address)
        isolated.wait_until_up()
        assert isolated.predict(IMAGE).status == 200


def test_it_needs_no_shell_or_other_command(image: str, model_dir: Path, tmp_path: Path) -> None:
    # Given the image without any command but Python
    (tmp_path / "Dockerfile").write_text(WITHOUT_COMMANDS)
    bare = f"{image}:bare"
    docker("build", "--quiet", "--tag", bare, f"--build-arg=IMAGE={image}", str(tmp_path))
    try:
        for command in ("/bin/sh", "ls"):
            assert not succeeds("run", "--rm", f"--entrypoint={command}", bare, "-c", "true"), command
        # When it runs, Then it serves, is healthy, stops in order and in time, and logs only JSON
        with served(bare, model_dir, "--health-interval=1s") as container:
            assert container.predict(IMAGE).status == 200
            wait_until(lambda: container.health() == "healthy", "the container is healthy")
            docker("stop", "--time=30", container.name)  # as SageMaker; a kill after 30 s gives status 137
            assert inspect(container.name)["State"]["ExitCode"] == 0
            events = [line["event"] for line in container.events()]
            assert (events[0], events[-1]) == ("ready", "stopped")
            assert "request" in events
    finally:
        docker("image", "rm", bare)


def heavy_images() -> list[bytes]:
    """Return four different images of nearly 4 MiB."""
    random = np.random.default_rng(7)
    scan = np.asarray(samples.scan(2120, 2240), dtype=np.int16)
    images = []
    for strength in (100, 110, 120, 127):
        grain = random.integers(-strength, strength + 1, scan.shape, dtype=np.int16)
        images.append(samples.png(Image.fromarray(np.clip(scan + grain, 0, 255).astype(np.uint8))))
    assert all(3.5 * MIB < len(image) <= MAX_IMAGE_BYTES for image in images), list(map(len, images))
    return images


def predict_at_once(container: Container, images: Sequence[bytes]) -> list[Answer]:
    with ThreadPoolExecutor(len(images)) as clients:
        return list(clients.map(container.predict, images))


def is_complete(container: Container) -> bool:
    ping = container.request("GET", "/ping")
    workers = json.loads(ping.body).get("workers", {})
    return ping.status == 200 and workers["ready"] == workers["wanted"]


def test_many_large_images_at_once_are_all_classified_within_512_mib(image: str, model_dir: Path) -> None:
    heavy = heavy_images()
    expected = predictions(model_dir, heavy) * (AT_ONCE // len(heavy))
    with served(image, model_dir, VERSION, WORKERS) as container:
        # Given workers that have each had a large image
        predict_at_once(container, heavy)
        level = int(container.python(HELD))
        # When 32 of them come at once, four times
        answers = [predict_at_once(container, heavy * (AT_ONCE // len(heavy))) for _ in range(4)]
        # Then each gets the answer that it would get alone
        for wave in answers:
            assert [answer.status for answer in wave] == [200] * AT_ONCE
            assert [answer.json() for answer in wave] == expected
        # And no worker was lost, and the memory is back at its level
        assert "worker ended" not in [line["event"] for line in container.events()]
        assert is_complete(container)
        wait_until(lambda: int(container.python(HELD)) <= level + GAPS, "memory is given back")
        assert level < MEMORY / 4


def test_an_image_too_large_for_the_memory_costs_its_worker_and_no_other_answer(
    image: str, model_dir: Path
) -> None:
    # Given images that each take more memory than there is, among small ones
    side = round(MAX_IMAGE_PIXELS**0.5)
    largest = samples.png(samples.scan(side, side).convert("RGBA"), compress_level=1)
    images = [largest if number % 8 == 0 else IMAGE for number in range(AT_ONCE)]
    (expected,) = predictions(model_dir, [IMAGE])
    limits = (f"--memory={LITTLE}", f"--memory-swap={LITTLE}")
    with served(image, model_dir, VERSION, WORKERS, *limits) as container:
        began = inspect(container.name)["State"]["StartedAt"]
        # When they come at once, Then the kernel ends a worker for each large one, and only these fail
        for sent, answer in zip(images, predict_at_once(container, images), strict=True):
            if sent is IMAGE:
                assert answer.json() == expected
            else:
                assert_problem(answer, 500, "ended")
        ended = [line for line in container.events() if line["event"] == "worker ended"]
        assert [line["code"] for line in ended] == [-9] * images.count(largest)
        # And the server itself has lived on, and has all its workers again
        wait_until(lambda: is_complete(container), "all workers are up")
        assert inspect(container.name)["State"]["StartedAt"] == began
        assert container.predict(IMAGE).json() == expected
