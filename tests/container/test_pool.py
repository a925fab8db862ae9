"""The pool by itself, with workers that do as they are told: who gets which image, and who which answer."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unittest.mock import Mock

import pytest
import uvloop

from container import pool as pool_module
from container.nursery import Newborn, Nursery
from container.pool import Pool, Worker
from container.problem import Problem
from container.settings import Settings
from container.wire import READY, Reply

from . import processes
from .serving import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from container.predictor import Identity

MODEL: Identity = {"name": "stub", "version": None, "sha256": None}


class Nurseries:
    """Makes nurseries whose workers are stubs, one after the other, as many as a test lets them raise."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.started = 0
        self.pids: list[int] = []

    def _process(self, *command: str, keeping: tuple[int, ...] = ()) -> int:
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=keeping)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process.pid

    def worker(self) -> tuple[int, socket.socket]:
        """Start a worker that is ready."""
        front, own = socket.socketpair()
        module = ("-m", "tests.container.stub_worker", str(own.fileno()))
        pid = self._process(sys.executable, *module, keeping=(own.fileno(),))
        own.close()
        front.settimeout(processes.PATIENCE_S)
        assert front.recv(len(READY)) == READY
        self.pids.append(pid)
        return pid, front

    def nursery(self, *, raises: int) -> Nursery:
        """A nursery that has told of its workers and is about to end by the time anybody listens."""
        self.started += 1
        front, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with own:
            for _ in range(raises):
                pid, channel = self.worker()
                message = json.dumps({"pid": pid, "model": MODEL}).encode()
                socket.send_fds(own, [message], [channel.fileno()])
                channel.close()
        return Nursery(self._process("sleep", "600"), front)


@pytest.fixture
def nurseries() -> Iterator[Nurseries]:
    with ExitStack() as stack:
        yield Nurseries(stack)


def settings(*, workers: int = 1, timeout_s: int = 20) -> Settings:
    return Settings(Path("/nowhere"), "127.0.0.1", 0, workers, timeout_s, None, None, None)


def with_pool(
    nurseries: Nurseries, use: Callable[[Pool], Coroutine[object, object, None]], **wanted: int
) -> None:
    """Run a coroutine on a pool that starts with one stub worker, on the loop that the front has."""

    async def run() -> None:
        nursery = nurseries.nursery(raises=1)
        first = nursery.next()
        assert first is not None
        pool = Pool(settings(**wanted), nursery, first)
        await pool.open()
        try:
            async with asyncio.timeout(processes.PATIENCE_S):
                await use(pool)
        finally:
            pool.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def word(pool: Pool, image: bytes, *, heatmap: bool = False) -> str:
    reply, waited_us = await pool.judge(image, heatmap=heatmap)
    assert reply.status == 200
    assert waited_us >= 0
    content = json.loads(reply.body)
    assert content["heatmap"] == heatmap
    return str(content["word"])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def replaced_by(monkeypatch: pytest.MonkeyPatch, nurseries: Nurseries, *, raises: tuple[int, ...]) -> None:
    """Let the nurseries after the first raise so many workers each."""
    counts = iter(raises)
    monkeypatch.setattr(Nursery, "start", lambda *_, **__: nurseries.nursery(raises=next(counts)))
    monkeypatch.setattr(pool_module, "RETRY_S", 0.05)


def test_images_are_judged_in_the_order_of_their_arrival(nurseries: Nurseries) -> None:
    async def use(pool: Pool) -> None:
        answered: list[str] = []

        async def ask(name: str) -> None:
            answered.append(await word(pool, f"{name} 0.01".encode(), heatmap=name == "c"))

        await asyncio.gather(*map(ask, "abcdef"))
        assert answered == list("abcdef")

    with_pool(nurseries, use)


def test_a_newcomer_does_not_overtake_those_who_wait(nurseries: Nurseries) -> None:
    async def use(pool: Pool) -> None:
        answered: list[str] = []

        async def ask(name: str) -> None:
            answered.append(await word(pool, f"{name} 0.01".encode()))

        async def ask_twice() -> None:
            await ask("a")
            await ask("z")  # at the very moment in which the worker is free again

        await asyncio.gather(ask_twice(), ask("b"), ask("c"))
        assert answered == [*"abcz"]

    with_pool(nurseries, use)


def test_a_system_with_no_room_for_a_nursery_is_asked_again(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = iter([OSError("no room"), OSError("no room"), None])

    def start(*_: object, **__: object) -> Nursery:
        if error := next(tries):
            raise error
        return nurseries.nursery(raises=1)

    monkeypatch.setattr(Nursery, "start", start)
    monkeypatch.setattr(pool_module, "RETRY_S", 0.05)

    async def use(pool: Pool) -> None:
        with pytest.raises(Problem):
            await word(pool, b"die")
        assert pool.ready == 0
        assert await word(pool, b"back") == "back"

    with_pool(nurseries, use)


def test_an_image_that_no_worker_is_free_for_is_asked_to_come_back(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "QUEUE_S", 0.1)

    async def use(pool: Pool) -> None:
        long = asyncio.create_task(word(pool, b"long 1"))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await word(pool, b"late")
        assert caught.value.status == 503
        assert int(caught.value.headers["retry-after"]) >= 1
        # And nothing of it is left: the worker answers whom it should
        assert await long == "long"
        assert await word(pool, b"next") == "next"

    with_pool(nurseries, use)


def test_an_answer_that_nobody_waits_for_any_more_goes_to_nobody_else(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_by(monkeypatch, nurseries, raises=(1,))

    async def use(pool: Pool) -> None:
        given_up = asyncio.create_task(word(pool, b"old 0.2"))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert await word(pool, b"new") == "new"
        assert not processes.is_alive(nurseries.pids[0])

    with_pool(nurseries, use)


@pytest.mark.parametrize("image", [b"die", b"hang 30"])
def test_a_worker_lost_over_an_image_fails_that_image_and_is_replaced(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, image: bytes
) -> None:
    replaced_by(monkeypatch, nurseries, raises=(1,))

    async def use(pool: Pool) -> None:
        failing = asyncio.create_task(word(pool, image))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(word(pool, b"next"))
        with pytest.raises(Problem) as caught:
            await failing
        assert caught.value.status == 500
        assert await waiting == "next"
        assert pool.ready == 1

    with_pool(nurseries, use, timeout_s=1)
    (record,) = [record for record in caplog.records if record.getMessage() == "worker ended"]
    code = 3 if image == b"die" else -signal.SIGKILL
    assert (vars(record)["pid"], vars(record)["code"]) == (nurseries.pids[0], code)


def test_the_last_worker_is_not_taken_for_lost_while_the_next_comes_in(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given nurseries that have ended before the front hears of their only worker
    replaced_by(monkeypatch, nurseries, raises=(1, 1, 1))

    async def use(pool: Pool) -> None:
        for round_ in range(3):
            with pytest.raises(Problem):
                await word(pool, b"die")
            assert await word(pool, b"next") == "next"
            assert not pool.lost.is_set()
            await until(lambda expected=round_ + 2: nurseries.started == expected)  # type: ignore[misc]

    with_pool(nurseries, use)


def test_images_that_kill_one_worker_after_the_other_do_not_end_the_server(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given images that wait and kill each worker as soon as it is there
    replaced_by(monkeypatch, nurseries, raises=(1, 1, 1))

    async def use(pool: Pool) -> None:
        results = await asyncio.gather(*[word(pool, b"die") for _ in range(3)], return_exceptions=True)
        assert [type(result) for result in results] == [Problem] * 3
        assert await word(pool, b"next") == "next"
        assert not pool.lost.is_set()

    with_pool(nurseries, use)


def test_where_none_can_be_raised_the_server_is_lost(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replaced_by(monkeypatch, nurseries, raises=(0,))

    async def use(pool: Pool) -> None:
        with pytest.raises(Problem):
            await word(pool, b"die")
        await pool.lost.wait()
        assert pool.ready == 0

    with_pool(nurseries, use)
    assert any("no worker is left" in vars(record).get("reason", "") for record in caplog.records)


def test_a_pool_with_too_few_workers_asks_for_more_until_it_has_them(
    nurseries: Nurseries, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_by(monkeypatch, nurseries, raises=(0, 1, 0, 1))

    async def use(pool: Pool) -> None:
        assert pool.ready == 1
        await until(lambda: pool.ready == 3)
        assert sorted(await asyncio.gather(*[word(pool, b"%c 0.1" % letter) for letter in b"abc"])) == [
            *"abc"
        ]

    with_pool(nurseries, use, workers=3)
    assert nurseries.started == 5


def test_closing_ends_every_worker(nurseries: Nurseries) -> None:
    async def use(pool: Pool) -> None:
        await word(pool, b"one")

    with_pool(nurseries, use)
    assert not any(processes.is_alive(pid) for pid in nurseries.pids)


def test_a_reply_may_come_in_any_pieces() -> None:
    body = json.dumps({"word": "x" * 300}).encode()
    packed = Reply(422, body, decode_us=70000, inference_us=4).pack()

    async def ask(size: int) -> Reply:
        worker = Worker(1, timeout_s=5, when_ended=Mock())
        transport = Mock(spec=asyncio.WriteTransport)
        worker.connection_made(cast("asyncio.WriteTransport", transport))
        for _ in range(2):  # nothing of one reply is left in the next
            asking = asyncio.ensure_future(worker.ask(b"image", heatmap=True))
            await asyncio.sleep(0)
            for start in range(0, len(packed), size):
                assert not asking.done()
                worker.data_received(packed[start : start + size])
            reply = await asking
        assert b"".join(transport.writelines.call_args.args[0]).endswith(b"image")
        return reply

    for size in (1, 13, 14, 15, len(packed)):
        assert asyncio.run(ask(size)) == (422, body, 70000, 4)


def test_a_worker_that_has_ended_is_asked_nothing() -> None:
    ended = Mock()

    async def ask() -> None:
        worker = Worker(1, timeout_s=5, when_ended=ended)
        worker.connection_made(Mock(spec=asyncio.WriteTransport))
        asking = asyncio.ensure_future(worker.ask(b"image", heatmap=False))
        await asyncio.sleep(0)
        worker.connection_lost(None)
        with pytest.raises(EOFError):
            await asking
        with pytest.raises(EOFError):
            await worker.ask(b"image", heatmap=False)
        ended.assert_called_once_with(worker)

    asyncio.run(ask())


def test_a_nursery_tells_of_each_worker_and_then_of_its_end(nurseries: Nurseries) -> None:
    nursery = nurseries.nursery(raises=2)
    told = [nursery.next(), nursery.next()]
    for newborn, pid in zip(told, nurseries.pids, strict=True):
        assert isinstance(newborn, Newborn)
        assert (newborn.pid, newborn.model) == (pid, MODEL)
        newborn.channel.close()
    assert nursery.next() is None
    nursery.end()
