"""One emulator for all of these tests: the real Lambda, before the real server."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from infra.emulator import LocalAws
from tests.container import processes
from tests.emulator.cloud import Cloud
from tests.fuzz import images
from tests.fuzz.deployment import Deployment, Gateway
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RETAINED = 24 * 2**20  # bytes that the heaps of the server's processes may keep of the largest images


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """How long inputs are generated, in all."""
    return float(request.config.getoption("--fuzz-seconds"))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    scratch = tmp_path_factory.mktemp("fuzz")
    log = scratch / "aws.log"
    model = make_model_dir(
        scratch / "model", logit=0.2, brain_logit=4.5
    )  # classifies dark images, refuses bright ones
    with LocalAws(port=0, engine="process", log=log) as aws:
        made = Deployment(Cloud(aws), log, scratch)
        made.serve("real", packed(model))
        yield made


@pytest.fixture(scope="session")
def gateway(deployment: Deployment) -> Gateway:
    """A gateway with an API key before the real server."""
    return deployment.deploy("real", auth="api_key")


@pytest.fixture(scope="module")
def unharmed(deployment: Deployment, gateway: Gateway) -> Iterator[None]:
    """Server and Lambda end a module's tests with the same processes, and give their memory back."""

    def decode_the_largest() -> None:
        """Send the largest images: what a heap keeps depends on what it held last."""
        for data in images.largest():
            gateway.predict(data)

    decode_the_largest()
    families = {"the server": deployment.server(), "the Lambda": [deployment.first_lambda()]}
    before = {owner: processes.memory(pids) for owner, pids in families.items()}
    yield
    assert deployment.server() == families["the server"], "a process of the server has died"
    assert [deployment.first_lambda()] == families["the Lambda"], "the Lambda's process has died"
    decode_the_largest()
    for owner, pids in families.items():
        processes.wait_until(
            lambda pids=pids, owner=owner: processes.memory(pids) - before[owner] < RETAINED,  # type: ignore[misc]
            f"{owner} gives its memory back: it held {before[owner]} bytes",
        )


def packed(model: Path) -> bytes:
    """Pack a model directory as an endpoint takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(model.iterdir()):
            archive.add(path, arcname=path.name)
    return buffer.getvalue()
