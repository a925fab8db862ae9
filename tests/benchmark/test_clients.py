"""The two clients: wrk, and the one that sends at a constant rate; and what they send."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from scripts.benchmark import images, load, network, openloop, phases, wire
from scripts.benchmark.places import BenchmarkError
from scripts.benchmark.wire import Message

if TYPE_CHECKING:
    from pathlib import Path

PRINTED = """\
Running 5s test @ http://127.0.0.1:8080/invocations
  1 threads and 8 connections

result {"requests": 500, "seconds": 5.0, "p50_ms": 15.5, "p99_ms": 40.25, "max_ms": 50.0, \
"refused": 3, "broken": 2, "late": 1}
"""
MESSAGE = Message(b"the image", "image/png")


def test_what_wrk_prints_is_read() -> None:
    outcome = load.read(PRINTED)
    assert (outcome.requests, outcome.p50_ms, outcome.p99_ms, outcome.errors) == (500, 15.5, 40.25, 6)
    assert outcome.per_second == pytest.approx(494 / 5)


def test_wrk_without_a_result_is_an_error_with_its_words() -> None:
    with pytest.raises(BenchmarkError, match="unable to connect"):
        load.read("unable to connect to 127.0.0.1:1 Connection refused\n")


def fake_wrk(folder: Path, script: str) -> None:
    path = folder / "wrk"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_wrk_is_given_the_body_its_type_and_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, sent = tmp_path / "said", tmp_path / "sent"
    fake_wrk(
        tmp_path,
        f'echo "$*" > {said}\nwhile [ "$1" != -- ]; do shift; done\ncat "$2" > {sent}\n'
        f"cat <<'END'\n{PRINTED}END",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    outcome = load.run("http://127.0.0.1:1/x", MESSAGE, connections=8, seconds=5)
    assert outcome.requests == 500
    assert sent.read_bytes() == b"the image"
    command = said.read_text()
    assert "--connections 8 " in command
    assert "--duration 5s " in command
    assert command.rstrip().endswith("image/png")


def test_a_failing_wrk_is_an_error_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_wrk(tmp_path, "echo 'no such script' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    with pytest.raises(BenchmarkError, match="no such script"):
        load.run("http://127.0.0.1:1/x", MESSAGE, connections=1, seconds=1)


def test_without_wrk_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchmarkError, match="apt-get install wrk"):
        load.require_wrk()


class Server:
    """An HTTP server that answers with given statuses in turn; after 599 it closes the connection instead."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.bodies: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await self._head(reader):
            self.bodies.append(await reader.readexactly(openloop.content_length(head)))
            status = self.statuses[(len(self.bodies) - 1) % len(self.statuses)]
            if status == 599:
                break
            writer.write(f"HTTP/1.1 {status} Reason\r\ncontent-length: 2\r\n\r\nok".encode())
        writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""


def steady(server: Server, *, rate: float, seconds: float, connections: int) -> list[tuple[float, bool]]:
    """Send at a constant rate to a server; each request's latency and whether it was answered well."""
    answers: list[tuple[float, bool]] = []

    async def both() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        async with listening:
            await openloop.run(
                "127.0.0.1", listening.sockets[0].getsockname()[1], "/x", MESSAGE,
                rate=rate, seconds=seconds, connections=connections,
                answered=lambda _due, took, good: answers.append((took, good)),
            )  # fmt: skip

    asyncio.run(both())
    return answers


def test_the_steady_client_sends_what_is_due_over_few_connections() -> None:
    server = Server([200])
    began = time.perf_counter()
    answers = steady(server, rate=100, seconds=0.5, connections=4)
    assert time.perf_counter() - began >= 0.48  # the last is due after 49 hundredths
    assert [good for _, good in answers] == [True] * 50
    assert server.bodies == [b"the image"] * 50
    assert server.connections == 4


def test_the_steady_client_counts_refusals_and_broken_connections_and_goes_on() -> None:
    server = Server([200, 503, 599])
    answers = steady(server, rate=200, seconds=0.3, connections=1)
    assert sum(good for _, good in answers) == 20
    assert len(answers) == 60
    assert server.connections == 20  # the last is broken at the end; each break before opened another


def test_latency_counts_from_when_a_request_was_due() -> None:
    class Stalling(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.3)
            await super().serve(reader, writer)

    answers = steady(Stalling([200]), rate=100, seconds=0.1, connections=1)
    assert len(answers) == 10
    assert min(took for took, _ in answers) > 0.2  # all waited for the first, though none took long itself


def test_an_answer_without_a_length_is_not_understood() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        openloop.content_length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


def test_phases_are_medians_of_the_lines_that_have_them() -> None:
    lines = [
        "not json",
        json.dumps({"path": "/ping", "read_us": 9999}),
        *(
            json.dumps({"path": "/invocations", "decode_us": value, "inference_us": 10 * value})
            for value in (1, 2, 9)
        ),
        json.dumps({"path": "/invocations", "status": 503}),
    ]
    assert phases.medians(lines) == {"decode_us": 2, "inference_us": 20}


def test_each_wire_carries_the_images_bytes() -> None:
    image = images.draw(225, "png")
    assert wire.message("raw", image) == Message(image.data, "image/png")
    text = base64.b64encode(image.data).decode()
    sent = {name: json.loads(wire.message(name, image).body) for name in ("json", "mlflow", "v2")}
    assert sent["json"] == {"image": text}
    assert sent["mlflow"] == {"dataframe_split": {"columns": ["image"], "data": [[text]]}}
    assert sent["v2"]["inputs"][0]["data"] == [text]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("raw", {"label": "YES", "probability": 0.25}),
        ("json", {"probability": 0.25}),
        ("mlflow", {"predictions": [0.25]}),
        ("v2", {"outputs": [{"name": "output-0", "data": [0.25]}]}),
    ],
)
def test_the_probability_is_found_in_every_answer(name: wire.Wire, body: object) -> None:
    assert wire.answer(name, json.dumps(body).encode()) == 0.25


@pytest.mark.parametrize("named", [True, False])
def test_a_raw_networks_logit_is_calibrated_as_the_server_does(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SERVING", tmp_path)
    document = {
        "schema": 2,
        "name": "n",
        "labels": ["NO", "YES"],
        "input": {"size": 32},
        "calibration": {"slope": 2.0, "intercept": -1.0},
        "threshold": 0.5,
        "known_answer": {"input": "ramp", "logit": 0.0},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(document))
    evidence, judgement = [[[[0.0]], [[0.0]]]], [[0.5, 7.0]]
    predictions = {"a": evidence, "b": judgement} if named else [evidence, judgement]
    assert wire.answer("tensor", json.dumps({"predictions": predictions}).encode()) == pytest.approx(0.5)
    body = json.loads(wire.message("tensor", images.draw(225, "jpeg")).body)
    assert len(body["inputs"][0]) == len(body["inputs"][0][0]) == 32


def test_the_images_are_what_their_names_say_and_always_the_same() -> None:
    drawn = images.all_images()
    assert set(drawn) == set(images.NAMES)
    assert drawn["jpeg-225"].data == images.draw(225, "jpeg").data
    assert drawn["png-512"].data.startswith(b"\x89PNG")
    assert drawn["jpeg-1200"].data.startswith(b"\xff\xd8\xff")
