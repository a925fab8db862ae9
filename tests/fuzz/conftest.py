"""One laptop's AWS for all of these tests: the real Lambda, before the real server and a failing one."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.container import processes
from tests.fuzz import images
from tests.fuzz import laptop as laptops
from tests.fuzz.figures import FIGURES
from tests.fuzz.laptop import Gateway, Laptop
from tests.local import gateway_stack
from tests.local.cloud import Cloud
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GAPS = 24 * 2**20  # bytes: what the heaps of the front and two workers may keep of the largest images


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """How long inputs are made up, in all."""
    return float(request.config.getoption("--fuzz-seconds"))


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    scratch = tmp_path_factory.mktemp("fuzz")
    log = scratch / "aws.log"
    model = make_model_dir(scratch / "model", says=0.2, brain=4.5)  # judges the dark, refuses the bright
    with laptops.start(log) as aws:
        laptop = Laptop(Cloud(aws), log, FIGURES, scratch)
        laptop.cloud.s3.create_bucket(Bucket=gateway_stack.ASSETS)
        laptop.serve("real", packed(model))
        yield laptop


@pytest.fixture(scope="session")
def gateway(laptop: Laptop) -> Gateway:
    """Who has its key is let in, to the real server, which has seen the largest images already."""
    gateway = laptop.deploy("real", auth="api_key")
    for data in images.largest():
        gateway.predict(data, kind="warming up")
    return gateway


@pytest.fixture(scope="session")
def failing(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A gateway before an endpoint that fails as each image tells it to: see `program.FAULTS`."""
    model = tmp_path_factory.mktemp("failing")
    (model / "faults").touch()
    laptop.serve("failing", packed(model))
    return laptop.deploy("failing")


@pytest.fixture(scope="module")
def unharmed(laptop: Laptop, gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[None]:
    """Server and Lambda come out of a module's tests as they went in: the same processes and memory."""
    families = {"the server": laptop.server(), "the Lambda": [laptop.first_lambda()]}
    held = {whose: processes.memory(pids) for whose, pids in families.items()}
    yield
    assert laptop.server() == families["the server"], "a process of the server has died"
    assert [laptop.first_lambda()] == families["the Lambda"], "the Lambda's process has died"
    for whose, pids in families.items():
        _wait_until_flat(whose, pids, held[whose])
        module = request.module.__name__.rpartition(".")[2]
        FIGURES.remember_memory(f"{whose}, {module}", held[whose], processes.memory(pids))


def _wait_until_flat(whose: str, pids: list[int], held: int) -> None:
    grown = f"{whose} gives its memory back: it held {held} bytes"
    processes.wait_until(lambda: processes.memory(pids) - held < GAPS, grown)


def packed(model: Path) -> bytes:
    """A model's archive, as an endpoint takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(model.iterdir()):
            archive.add(path, arcname=path.name)
    return buffer.getvalue()
