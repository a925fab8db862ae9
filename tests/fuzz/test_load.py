"""Too many at once, too slow or gone in the middle: told so where they can be, and nothing stays of it."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.container import processes
from tests.fuzz import images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.container.serving import Answer
    from tests.fuzz.laptop import Gateway, Laptop

pytestmark = pytest.mark.usefixtures("unharmed")

AT_ONCE = 200
A_SECOND, BURST = 1, 10


@pytest.fixture
def throttled(laptop: Laptop, gateway: Gateway) -> Iterator[Gateway]:
    """The gateway, for a while let through to few requests a second."""
    _, _, api_id, stage, _ = urlsplit(gateway.url).path.split("/")
    before = laptop.client("apigateway").get_stage(restApiId=api_id, stageName=stage)["methodSettings"]["*/*"]

    def throttle(rate: float, burst: int) -> None:
        limits = {"rateLimit": rate, "burstLimit": burst}
        changes = [
            {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(limit)}
            for name, limit in limits.items()
        ]
        laptop.client("apigateway").update_stage(restApiId=api_id, stageName=stage, patchOperations=changes)

    throttle(A_SECOND, BURST)
    yield gateway
    throttle(before["throttlingRateLimit"], before["throttlingBurstLimit"])


def test_200_at_once_are_answered_up_to_the_throttle(throttled: Gateway) -> None:
    # When 200 ask at the same moment
    image, start = images.whole()["JPEG, L"], threading.Barrier(AT_ONCE)

    def ask(_: int) -> Answer:
        start.wait()
        return throttled.predict(image, kind="200 at once, throttled")

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as crowd:
        answers = list(crowd.map(ask, range(AT_ONCE)))
    took = time.monotonic() - began
    # Then some get a prediction, no more than the throttle lets through, and the others are told to wait
    let_in = [answer for answer in answers if answer.status == 200]
    turned_away = [answer for answer in answers if answer.status == 429]
    assert len(let_in) + len(turned_away) == AT_ONCE, {answer.status for answer in answers}
    assert BURST <= len(let_in) <= BURST + A_SECOND * took + 1
    # And who waits as long as they were told is let in
    time.sleep(max(int(answer.headers["retry-after"]) for answer in turned_away))
    assert throttled.predict(image, kind="after the wait").status == 200


def test_slow_and_dropped_bodies_keep_nobody_waiting(laptop: Laptop, gateway: Gateway) -> None:
    # Given some who send half of an image and stop, some who go away in its middle, and some who dribble
    image = images.whole()["PNG, I;16"]
    open_before = open_sockets(laptop)
    with ExitStack() as connections:
        stalled = [connections.enter_context(begun(gateway, image, half=True)) for _ in range(30)]
        for _ in range(30):
            begun(gateway, image, half=True).close()
        slow = begun(gateway, image, half=False)
        connections.enter_context(slow)
        # When others ask meanwhile
        for number in range(20):
            slow.sendall(image[number : number + 1])
            answer = gateway.predict(image, kind="beside slow bodies")
            # Then they are answered
            assert answer.status == 200
        # And who was slow is answered too, once the image is whole
        slow.sendall(image[20:])
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert len(stalled) == 30
    # And once they are gone, nothing of them stays
    processes.wait_until(lambda: open_sockets(laptop) <= open_before + 2, "the connections are closed")
    assert gateway.predict(image, kind="after slow bodies").status == 200


def begun(gateway: Gateway, image: bytes, *, half: bool) -> socket.socket:
    """Send a request's head and, if wanted, half of its body."""
    host, port = gateway.netloc.split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = (
        f"POST {gateway.target('/predict')} HTTP/1.1\r\nhost: {gateway.netloc}\r\n"
        f"x-api-key: {gateway.key}\r\n"
        f"content-type: image/png\r\ncontent-length: {len(image)}\r\n\r\n"
    )
    connection.sendall(head.encode() + (image[: len(image) // 2] if half else b""))
    return connection


def open_sockets(laptop: Laptop) -> int:
    """How many the emulator has open."""
    files = Path(f"/proc/{laptop.cloud.aws.process_id}/fd")
    opened = 0
    for each in files.iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            opened += str(each.readlink()).startswith("socket:")
    return opened
