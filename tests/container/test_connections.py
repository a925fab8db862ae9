"""Clients that are slow, leave, are many, or cannot count: each gets its end, and nobody else notices."""

from __future__ import annotations

import re
import resource
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from container import connections
from container import server as serving_side
from container.connections import MAX_CONNECTIONS, MAX_HEAD_BYTES, allow_files
from container.settings import SettingsError

from . import pictures, processes
from .serving import answer_on, serving
from .wires import Judges, chunked, connect, everything, front, head, post, statuses

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from .serving import Server

IMAGE = pictures.png(pictures.scan())
PING = head(request="GET /ping HTTP/1.1")
LAST_PING = head("Connection: close", request="GET /ping HTTP/1.1")
HASTE_S = 0.3  # what the limits of a connection are shortened to


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time that a client has for a head."""
    monkeypatch.setattr(connections, "HEAD_S", HASTE_S)


def dribble(connection: socket.socket, data: bytes) -> int:
    """Send a byte at a time until the server closes, and return how many went out."""
    connection.settimeout(0.03)
    for sent, byte in enumerate(data):
        try:
            connection.sendall(bytes([byte]))
            if not connection.recv(1, 2):  # MSG_PEEK
                return sent
        except TimeoutError:
            pass  # it still listens
        except (ConnectionResetError, BrokenPipeError):
            return sent
    raise AssertionError("the server took all of it")


@pytest.mark.parametrize("size", [1, 7, 1000, len(IMAGE)])
def test_a_chunked_image_is_the_same_image(server: Server, size: int) -> None:
    expected = server.judge(IMAGE)
    with connect(server.port) as connection:
        connection.sendall(chunked(IMAGE, size) + LAST_PING)
        answers = everything(connection)
    assert statuses(answers) == [200, 200]
    assert expected.body in answers


BAD_FRAMES = {
    "length that is no number": head("Content-Length: abc") + IMAGE,
    "negative length": head("Content-Length: -1") + IMAGE,
    "length beyond all numbers": head(f"Content-Length: {10**30}") + IMAGE,
    "empty length": head("Content-Length:") + IMAGE,
    "two lengths": head("Content-Length: 5", "Content-Length: 6") + IMAGE,
    "length and chunks": head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunk size that is no number": head("Transfer-Encoding: chunked") + b"zz\r\nhello\r\n",
    "negative chunk size": head("Transfer-Encoding: chunked") + b"-5\r\nhello\r\n",
    "chunk size beyond all numbers": head("Transfer-Encoding: chunked") + b"F" * 17 + b"\r\nhello\r\n",
    "chunk longer than its size": head("Transfer-Encoding: chunked") + b"5\r\nhello, you\r\n0\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no path": head(request="GET http://[ HTTP/1.1"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_what_is_no_http_is_refused_and_the_connection_closed(server: Server, name: str) -> None:
    with connect(server.port) as connection:
        connection.sendall(BAD_FRAMES[name])
        assert statuses(everything(connection)) == [400]
    assert server.judge(IMAGE).status == 200


def test_what_follows_a_body_is_never_part_of_it(server: Server) -> None:
    # Given an image with more behind it than its length says, in one packet and in two
    expected = server.judge(IMAGE)
    for pause_s in (0.0, 0.2):
        with connect(server.port) as connection:
            connection.sendall(post(IMAGE))
            time.sleep(pause_s)
            connection.sendall(b"and more, which is no request")
            answers = everything(connection)
        # Then the image's own answer comes, unless the rest overtook it, and the rest is refused
        assert statuses(answers) in ([200, 400], [400])
        assert (expected.body in answers) == (200 in statuses(answers))


def test_a_body_that_ends_early_is_never_judged(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(post(IMAGE)[:-10])
        connection.shutdown(1)  # SHUT_WR: no more will come
        assert 200 not in statuses(everything(connection))
    line = server.wait_for("request", lambda line: line["bytes"] == len(IMAGE) - 10)
    assert line["status"] == 400


def test_requests_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    images = [pictures.png(pictures.scan(80 + 8 * step, 90)) for step in range(8)]
    alone = [server.judge(image).body for image in images]
    with connect(server.port) as connection:
        connection.sendall(b"".join(PING + post(image) for image in images) + LAST_PING)
        answers = everything(connection)
    assert statuses(answers) == [200] * 17
    assert re.findall(rb'{"label".*?}}', answers) == alone


def test_a_client_may_ask_before_it_sends(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(head(f"Content-Length: {len(IMAGE)}", "Expect: 100-continue"))
        assert statuses(connection.recv(1000)) == [100]
        connection.sendall(IMAGE + LAST_PING)
        assert statuses(everything(connection)) == [200, 200]


def test_a_slow_body_is_told_so_and_the_connection_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_side, "BODY_S", HASTE_S)
    judges = Judges()
    with front(judges) as running, connect(running.port) as connection:
        connection.sendall(post(IMAGE)[:-5])
        answer = everything(connection)
    assert statuses(answer) == [408]
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert not judges.images


@pytest.mark.usefixtures("hasty")
def test_a_slow_head_is_not_waited_for() -> None:
    with front() as running, connect(running.port) as connection:
        assert 0 < dribble(connection, post(IMAGE)) < len(head())


@pytest.mark.usefixtures("hasty")
def test_a_connection_that_asks_nothing_is_closed() -> None:
    with front() as running, connect(running.port) as fresh, connect(running.port) as served:
        served.sendall(post(IMAGE))
        assert statuses(served.recv(1000)) == [200]
        assert everything(fresh) == everything(served) == b""


@pytest.mark.usefixtures("hasty")
def test_a_request_that_is_being_answered_is_never_cut_off() -> None:
    # Given two requests sent at once, the second of which takes longer than a head may
    judges = Judges(delays_s=(0.0, 3 * HASTE_S))
    with front(judges) as running, connect(running.port) as connection:
        connection.sendall(post(IMAGE) * 2)
        assert statuses(everything(connection)) == [200, 200]
    assert judges.images == [IMAGE, IMAGE]


@pytest.mark.usefixtures("hasty")
def test_a_client_that_takes_no_answers_is_not_waited_for() -> None:
    # Given answers larger than all buffers on their way, which the client does not read
    judges = Judges(body=bytes(16 * 2**20))
    with front(judges) as running, connect(running.port, receive_buffer=2**16) as connection:
        connection.sendall(post(IMAGE) * 3)
        processes.wait_until(lambda: len(judges.images) == 2, "the second is being answered")
        # Then the server gives up, though it is in the middle of them
        processes.wait_until(lambda: running.connections == 0, "the connection is closed")
        assert statuses(everything(connection)) == [200]


ENDLESS = {
    "URL": b"GET /" + b"x" * MAX_HEAD_BYTES * 8,
    "field": PING[:-2] + b"X-Long: " + b"x" * MAX_HEAD_BYTES * 8,
    "fields": PING[:-2] + b"X-Many: 1\r\n" * MAX_HEAD_BYTES,
    "trailer": chunked(IMAGE, 100)[:-2] + b"X-Late: 1\r\n" * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_head_without_an_end_is_refused(name: str) -> None:
    with front() as running, connect(running.port) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):  # it need not wait for all of it
            for start in range(0, len(ENDLESS[name]), 1000):
                connection.sendall(ENDLESS[name][start : start + 1000])
        assert statuses(everything(connection)) in ([400], [])  # a reset may overtake the answer
        processes.wait_until(lambda: running.connections == 0, "the connection is closed")
        assert running.ask("GET", "/ping").status == 200


def test_a_long_but_honest_head_is_none_of_these() -> None:
    judges = Judges()
    fields = {"content-type": "image/png", **{f"X-Field-{number}": "x" * 1000 for number in range(40)}}
    with front(judges) as running:
        connection = running.connect()
        for _ in range(2):
            connection.request("POST", "/invocations", bytes(3 * 2**20), fields)
            assert answer_on(connection).status == 200
            chunks = iter([bytes(2**20), b"x", bytes(2**20)])
            connection.request("POST", "/invocations", chunks, fields, encode_chunked=True)
            assert answer_on(connection).status == 200
        connection.close()
    assert [len(image) for image in judges.images] == [3 * 2**20, 2 * 2**20 + 1] * 2


def test_connections_that_are_opened_and_left_keep_nobody_out(model_dir: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = 10_000 if hard == resource.RLIM_INFINITY else min(10_000, hard - 500)
    assert crowd > MAX_CONNECTIONS + 400, "too few files may be open for a crowd: raise the limit (ulimit -n)"
    try:
        with serving(model_dir) as server, ExitStack() as stack:
            server.workers()
            # Given a client in use, and then more of them than the server keeps, which say nothing
            regular = server.connect()
            left = []
            for _ in range(crowd):
                left.append(stack.enter_context(connect(server.port)))
                if len(left) % 100 == 0:
                    # A newcomer's answer says that all before it have been let in
                    assert server.ask("GET", "/ping").status == 200
                    regular.request("GET", "/ping")
                    assert answer_on(regular).status == 200
            # Then a newcomer is answered, and the one in use was never cut off
            assert server.judge(IMAGE).status == 200
            regular.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
            assert answer_on(regular).status == 200
            # But those that waited longest were
            assert [everything(each) for each in left[:400]] == [b""] * 400
            left[-1].sendall(LAST_PING)
            assert statuses(everything(left[-1])) == [200]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_may_not_open_enough_files_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 500))
    with pytest.raises(SettingsError, match=r"only 500 files may be open, \d+ are needed"):
        allow_files()


def test_as_many_files_as_are_needed_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    allow_files()
    ((soft, hard),) = asked
    assert MAX_CONNECTIONS < soft < 4096 == hard
