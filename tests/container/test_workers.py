"""Drills: workers that are killed or hang, and what is left of a server that ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from . import pictures, processes, wires
from .serving import ROOT, answer_on, serving, starting

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from .serving import Answer, Server

IMAGE = pictures.png(pictures.scan())
TWO, ONE = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}, {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
LARGE, MANY = 3 * 2**20, 24  # bytes of an image, images
HURRIED = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"}


@pytest.fixture
def own_model_dir(model_dir: Path, tmp_path: Path) -> Path:
    """A model directory that a test may spoil."""
    return shutil.copytree(model_dir, tmp_path / "model")


@pytest.fixture
def pair(model_dir: Path) -> Iterator[Server]:
    with serving(model_dir, **TWO) as server:
        yield server


def post(server: Server) -> http.client.HTTPConnection:
    """Send an image and do not wait for its answer, only until it has been handed to a worker."""
    connection = server.connect()
    connection.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
    server.ask("GET", "/ping")  # the front takes things in their order
    return connection


def assert_failed(answer: Answer, reason: str) -> None:
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert reason in str(answer.json()["detail"])


def test_an_idle_worker_that_is_killed_is_replaced_and_nobody_notices(pair: Server) -> None:
    killed, spared = pair.workers()
    os.kill(killed, signal.SIGKILL)
    line = pair.wait_for("worker ended")
    assert (line["pid"], line["code"]) == (killed, -signal.SIGKILL)
    assert [pair.judge(IMAGE).status for _ in range(20)] == [200] * 20
    workers = pair.workers()
    assert spared in workers
    assert killed not in workers
    assert [pair.judge(IMAGE).status for _ in range(20)] == [200] * 20
    assert all(processes.is_alive(worker) for worker in workers)


def test_a_worker_killed_over_an_image_costs_that_image_only(pair: Server) -> None:
    # Given two workers, each stopped with an image in its hands
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
    assert_failed(answers[1], "ended over it")
    # And there are two workers again
    assert spared in pair.workers()
    assert pair.judge(IMAGE).status == 200


def test_a_worker_raised_under_load_keeps_no_image_of_anybody(pair: Server) -> None:
    # Given many large images that have nearly arrived
    head = wires.head(f"Content-Length: {LARGE}")
    with ExitStack() as stack:
        for _ in range(MANY):
            client = socket.create_connection(("127.0.0.1", pair.port), timeout=30)
            stack.enter_context(client).sendall(head + os.urandom(LARGE - 1))
        processes.wait_until(
            lambda: processes.memory([pair.process.pid]) > MANY * LARGE * 0.9, "the images arrive"
        )
        # When a worker is killed and replaced meanwhile
        killed, spared = pair.workers()
        os.kill(killed, signal.SIGKILL)
        pair.wait_for("worker ended")
        raised = next(worker for worker in pair.workers() if worker != spared)
    # Then, once they have gone, the new worker holds no more than the other
    processes.wait_until(
        lambda: processes.memory([raised]) < processes.memory([spared]) + 4 * LARGE, "the images go"
    )


def test_a_worker_that_hangs_is_replaced_and_the_next_image_waits_for_that(model_dir: Path) -> None:
    with serving(model_dir, **ONE, **HURRIED) as server:
        # Given an image with the only worker, which hangs, and one more behind it
        (hanging,) = server.workers()
        processes.stop(hanging)
        first, second = post(server), post(server)
        # Then the one gets a problem and the other is answered by the next worker
        assert_failed(answer_on(first), "longer than 1 second")
        assert answer_on(second).status == 200
        assert hanging not in server.workers()
        assert not processes.is_alive(hanging)


def test_without_a_worker_the_server_says_that_it_is_not_ready(own_model_dir: Path) -> None:
    metadata = own_model_dir / "metadata.json"
    content = metadata.read_bytes()
    with serving(own_model_dir, **ONE) as server:
        # Given a model that is only to be had when this test gives it
        (killed,) = server.workers()
        metadata.unlink()
        os.mkfifo(metadata)
        # When the only worker is killed
        processes.kill(killed)
        server.wait_for("worker ended")
        # Then nothing is ready, and an image waits
        ping = server.ask("GET", "/ping")
        assert ping.status == 503
        assert ping.headers["content-type"] == "application/problem+json"
        connection = server.connect()
        connection.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
        assert server.ask("GET", "/ping").status == 503
        # And once the model is there, it is answered
        metadata.write_bytes(content)
        assert answer_on(connection).status == 200
        server.workers()


def test_while_no_worker_can_be_raised_the_others_go_on(own_model_dir: Path, tmp_path: Path) -> None:
    with serving(own_model_dir, **TWO) as server:
        # Given a model that has gone, and with it one of two workers
        killed, _ = server.workers()
        own_model_dir.rename(tmp_path / "elsewhere")
        processes.kill(killed)
        assert "metadata.json" in str(server.wait_for("unusable model")["reason"])
        # Then the other answers, and the health check says how it stands
        assert server.judge(IMAGE).status == 200
        assert server.ask("GET", "/ping").json()["workers"] == {"ready": 1, "wanted": 2}
        # And when the model has come back, so has the worker
        (tmp_path / "elsewhere").rename(own_model_dir)
        assert len(server.workers()) == 2


def test_with_no_worker_and_no_model_the_server_ends_with_the_reason(own_model_dir: Path) -> None:
    with serving(own_model_dir, **TWO) as server:
        workers = server.workers()
        shutil.rmtree(own_model_dir)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert server.process.wait(timeout=processes.PATIENCE_S) == 1
        assert "metadata.json" in str(server.wait_for("unusable model")["reason"])
        assert "no worker is left" in str(server.wait_for("failed")["reason"])
        processes.wait_until_all_ended(workers)


def test_a_worker_that_dies_before_its_nursery_does_is_replaced_and_no_zombie(model_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.container.slow_nursery", str(model_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome == {"lost": False, "ready": 2, "children": 2, "zombies": 0}


def test_no_worker_outlives_a_front_that_is_killed(pair: Server) -> None:
    workers = pair.workers()
    pair.process.kill()
    pair.process.wait()
    processes.wait_until_all_ended(workers)
    assert not [line for line in pair.events() if "traceback" in line]


def test_a_stopped_worker_does_not_keep_the_server_from_ending(pair: Server) -> None:
    workers = pair.workers()
    processes.stop(workers[0])
    pair.process.terminate()
    assert pair.process.wait(timeout=10) == 0
    assert not any(processes.is_alive(worker) for worker in workers)


def test_an_image_with_a_worker_that_hangs_is_answered_before_the_server_ends(model_dir: Path) -> None:
    with serving(model_dir, **ONE, **HURRIED) as server:
        (worker,) = server.workers()
        processes.stop(worker)
        connection = post(server)
        server.process.terminate()
        assert answer_on(connection).status == 500
        assert server.process.wait(timeout=10) == 0
        assert not processes.is_alive(worker)


def test_ctrl_c_ends_the_whole_group_in_order(pair: Server) -> None:
    # Given an upload that is half done
    workers = pair.workers()
    upload = pair.connect()
    upload.putrequest("POST", "/invocations")
    upload.putheader("content-type", "image/png")
    upload.putheader("content-length", str(len(IMAGE)))
    upload.endheaders(IMAGE[:100])
    pair.ask("GET", "/ping")
    # When Ctrl-C reaches every process, as a terminal does it
    os.killpg(pair.process.pid, signal.SIGINT)
    # Then the upload is answered, and nobody stays
    upload.send(IMAGE[100:])
    assert answer_on(upload).status == 200
    assert pair.process.wait(timeout=10) == 0
    assert not any(processes.is_alive(worker) for worker in workers)
    assert pair.wait_for("stopped")
    assert {line["level"] for line in pair.events()} == {"info"}


def test_a_server_that_is_stopped_leaves_no_process(pair: Server) -> None:
    family = [pair.process.pid, *pair.workers()]
    assert sorted(family) == sorted(processes.family(pair.process.pid))
    assert pair.judge(IMAGE).status == 200
    pair.process.terminate()
    assert pair.process.wait(timeout=10) == 0
    assert not any(processes.is_alive(pid) for pid in family)


def test_a_server_that_is_stopped_while_it_loads_ends_in_order_too(own_model_dir: Path) -> None:
    # Given a model that keeps the nursery waiting
    metadata = own_model_dir / "metadata.json"
    content = metadata.read_bytes()
    metadata.unlink()
    os.mkfifo(metadata)
    with starting(own_model_dir) as process:
        with metadata.open("wb") as opened_by_both:  # once the nursery reads
            family = processes.family(process.pid)
            # When the server is stopped, then it is at once
            process.terminate()
            assert process.wait(timeout=10) == 0
            opened_by_both.write(content)
        # And its nursery ends as soon as it has nobody to raise workers for, without a word of it
        processes.wait_until_all_ended(family)
        assert process.stdout is not None
        assert [json.loads(line)["event"] for line in process.stdout] == ["stopped"]
