"""One emulator for all of these tests: the real Lambda, before the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.emulator import LocalAws
from model.release.export import pack
from tests.container import processes
from tests.emulator.cloud import Cloud
from tests.fuzz import images
from tests.fuzz.deployment import Deployment, Gateway
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
RETAINED = 24 * 2**20  # bytes that the heaps of the server's processes may keep of the largest images


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """How long inputs are generated, about."""
    return float(request.config.getoption("--fuzz-seconds"))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    log = tmp_path_factory.mktemp("fuzz") / "aws.log"
    with LocalAws(port=0, engine="process", log=log) as aws:
        yield Deployment(Cloud(aws), log)


@pytest.fixture(scope="session")
def gateway(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A gateway before the real server, whose model classifies dark images and refuses bright ones."""
    scratch = tmp_path_factory.mktemp("deployed")
    model = make_model_dir(scratch / "model", logit=0.2, brain_logit=4.5)
    artifact = pack({path.name: path.read_bytes() for path in model.iterdir()})
    return deployment.deploy(artifact, scratch / "stack")


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
