"""Drills: workers that are killed or hang, a server that is killed, and its memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.container import processes, samples
from tests.container.serving import SERVE, answer_on, assert_problem, serving, starting

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from tests.container.serving import Server

IMAGE = samples.png(samples.scan())
TWO, ONE = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}, {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
MIB = 2**20
IMPATIENT = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"}


@pytest.fixture
def own_model_dir(model_dir: Path, tmp_path: Path) -> Path:
    """A model directory that a test may change."""
    return shutil.copytree(model_dir, tmp_path / "model")


@pytest.fixture
def pair(model_dir: Path) -> Iterator[Server]:
    with serving(model_dir, **TWO) as server:
        yield server


def post(server: Server) -> http.client.HTTPConnection:
    """Send an image, and return once a worker has it."""
    connection = server.connect()
    connection.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
    server.request("GET", "/ping")  # answered after the image is with a worker
    return connection


def test_a_killed_idle_worker_is_replaced_without_a_failed_request(pair: Server) -> None:
    killed, spared = pair.workers()
    os.kill(killed, signal.SIGKILL)
    line = pair.wait_for("worker ended")
    assert (line["pid"], line["code"]) == (killed, -signal.SIGKILL)
    assert [pair.predict(IMAGE).status for _ in range(20)] == [200] * 20
    workers = pair.workers()
    assert spared in workers
    assert killed not in workers
    assert [pair.predict(IMAGE).status for _ in range(20)] == [200] * 20
    assert all(processes.is_alive(worker) for worker in workers)


def test_a_killed_worker_costs_its_image_only(pair: Server) -> None:
    # Given two workers, each stopped while it has an image
    killed, spared = pair.workers()
    processes.stop(killed)
    processes.stop(spared)
    waiting = [post(pair), post(pair)]
    # When one is killed and the other goes on
    processes.kill(killed)
    os.kill(spared, signal.SIGCONT)
    # Then one image gets a problem, the other its answer
    answers = sorted((answer_on(connection) for connection in waiting), key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 500]
    assert_problem(answers[1], 500, "ended")
    assert pair.wait_for("worker ended")["pid"] == killed
    # And there are two workers again
    assert spared in pair.workers()
    assert pair.predict(IMAGE).status == 200


def test_a_worker_that_hangs_is_replaced(model_dir: Path) -> None:
    with serving(model_dir, **ONE, **IMPATIENT) as server:
        # Given two images, the first at the only worker, which hangs
        (hanging,) = server.workers()
        processes.stop(hanging)
        first, second = post(server), post(server)
        # Then the first gets a problem, the second is answered by the next worker, and /ping always answers
        assert server.request("GET", "/ping").status == 200
        assert_problem(answer_on(first), 500, "longer than 1 second")
        assert answer_on(second).status == 200
        assert hanging not in server.workers()
        assert not processes.is_alive(hanging)


def test_without_a_worker_the_server_is_not_ready(own_model_dir: Path) -> None:
    metadata = own_model_dir / "metadata.json"
    content = metadata.read_bytes()
    with serving(own_model_dir, **ONE) as server:
        # Given a model that cannot be read before this test writes it
        (killed,) = server.workers()
        metadata.unlink()
        os.mkfifo(metadata)
        # When the only worker is killed
        processes.kill(killed)
        server.wait_for("worker ended")
        # Then nothing is ready, and an image waits
        assert_problem(server.request("GET", "/ping"), 503)
        connection = server.connect()
        connection.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
        assert server.request("GET", "/ping").status == 503
        # And it is answered once the model is there
        metadata.write_bytes(content)
        assert answer_on(connection).status == 200
        server.workers()


def test_the_other_workers_serve_while_none_can_be_started(own_model_dir: Path, tmp_path: Path) -> None:
    with serving(own_model_dir, **TWO) as server:
        # Given a missing model, and one of two workers killed
        killed, _ = server.workers()
        own_model_dir.rename(tmp_path / "elsewhere")
        processes.kill(killed)
        assert "metadata.json" in str(server.wait_for("unusable model")["reason"])
        # Then the other worker answers, and /ping counts it
        assert server.predict(IMAGE).status == 200
        assert server.request("GET", "/ping").json()["workers"] == {"ready": 1, "wanted": 2}
        # And the second worker is back once the model is
        (tmp_path / "elsewhere").rename(own_model_dir)
        assert len(server.workers()) == 2


def test_without_worker_and_model_the_server_ends_with_the_reason(own_model_dir: Path) -> None:
    with serving(own_model_dir, **TWO) as server:
        workers = server.workers()
        shutil.rmtree(own_model_dir)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert server.process.wait(timeout=processes.PATIENCE_S) == 1
        assert "metadata.json" in str(server.wait_for("unusable model")["reason"])
        assert "no worker is left" in str(server.wait_for("failed")["reason"])
        processes.wait_until_all_ended(workers)


def test_no_worker_outlives_a_killed_server(pair: Server) -> None:
    workers = pair.workers()
    pair.process.kill()
    pair.process.wait()
    processes.wait_until_all_ended(workers)
    assert not [line for line in pair.events() if "traceback" in line]


SLOW_IMPORT = """
import sys, time
from container import __main__ as program

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "container.server":
            time.sleep(60)

sys.meta_path.insert(0, Finder())
program.main()
"""


@pytest.mark.parametrize("command", [SERVE, [sys.executable, "-c", SLOW_IMPORT, "serve"]])
def test_a_server_stops_while_it_loads(own_model_dir: Path, command: list[str]) -> None:
    # Given a model that keeps the loader waiting, and a server that runs or still imports its modules
    metadata = own_model_dir / "metadata.json"
    metadata.unlink()
    os.mkfifo(metadata)
    with starting(own_model_dir, command) as process:
        with metadata.open("wb"):  # once the loader reads
            family = processes.family(process.pid)
            # When the server is stopped
            process.terminate()
            assert process.wait(timeout=30) == 0
        # Then no process of it stays
        processes.wait_until_all_ended(family)
        assert process.stdout is not None
        assert [json.loads(line)["event"] for line in process.stdout] == ["stopped"]


def test_a_loader_that_ends_before_the_server_is_ready_is_reaped(model_dir: Path) -> None:
    # Given a server process that takes longer to import its modules than the loader to load the model
    late = """
import os, sys
from container import __main__ as program, worker

class Loader(worker.Loader):
    def __init__(self, workers, **options):
        super().__init__(workers, **options)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

program.Loader = Loader
program.main()
"""
    with serving(model_dir, [sys.executable, "-c", late, "serve"]) as server:
        # Then no process but the workers is left
        assert server.workers()


def test_memory_does_not_grow_with_the_requests(model_dir: Path) -> None:
    image = samples.jpeg(samples.scan(512, 512))
    with serving(model_dir) as server, ThreadPoolExecutor(8) as crowd:
        list(crowd.map(server.predict, [image] * 200))
        before = server.memory()
        answers = list(crowd.map(server.predict, [image] * 600))
        assert {answer.status for answer in answers} == {200}
        assert server.memory() - before < 2 * MIB
