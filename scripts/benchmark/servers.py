"""Starts a row's server, finds out how long that takes, and ends it with all that it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark import environments, network, processes
from scripts.benchmark.places import HOME, PEERS, ROOT, BenchmarkError
from scripts.benchmark.wire import message
from scripts.delivery.console import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.benchmark.images import Image
    from scripts.benchmark.rows import Row
    from scripts.benchmark.wire import Message

HOST = "127.0.0.1"
START_S = 60  # within which a server must answer
POLL_S = 0.005
ANSWER_S = 30
OK = 200
_LINES = 15  # of a log, to say why a server failed
_PORTS = 3


@dataclass(frozen=True)
class Server:
    """A server that has answered.

    Attributes
    ----------
    root
        The process that it and all its workers descend from.
    ping_s, prediction_s
        From its launch to the first good answer to a ping, and to an image.
    """

    row: Row
    root: int
    host: str
    port: int
    log: Path
    ping_s: float
    prediction_s: float

    @property
    def url(self) -> str:
        """Where images are posted to."""
        return f"http://{self.host}:{self.port}{self.row.path}"

    def ask(self, image: Image) -> bytes:
        """Post an image on a connection of its own and return the answer's body.

        Raises
        ------
        BenchmarkError
            If it is not answered well.
        """
        status, body = post(self.host, self.port, self.row.path, message(self.row.wire, image))
        if status != OK:
            raise BenchmarkError(f"{self.row.name} answers {image.name} with {status}: {body[:300]!r}")
        return body


def prepare(row: Row) -> None:
    """Make what a row's server needs once: its environment and its form of the network."""
    environments.ensure(row.environment)
    form = _form(row)
    newest = max(path.stat().st_mtime for path in (network.EXPECTED, *PEERS.rglob("*.py")))
    if row.prepare is None or (form.is_dir() and form.stat().st_mtime >= newest):
        return
    values = _values(row, [0] * _PORTS)
    with step(f"packing the network for {row.title}"):
        done = subprocess.run(
            _filled(row.prepare, values), cwd=row.cwd, env={**os.environ, **_variables(row, values)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkError(f"{row.prepare[1]} failed for {row.name}: {_tail(done.stdout)}")


@contextlib.contextmanager
def serving(row: Row, image: Image) -> Iterator[Server]:
    """Run a row's server for as long as the block lasts; `image` is its first.

    Raises
    ------
    BenchmarkError
        If it ends or does not answer in time, with the last lines of its log.
    """
    ports = _free_ports(_PORTS)
    values = _values(row, ports)
    scratch = Path(values["scratch"])
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if row.template:
        _write_template(row, values)
    log = HOME / "logs" / f"{row.name}.log"
    command, variables = _filled(row.command, values), _variables(row, values)
    first = message(row.wire, image)
    began = time.perf_counter()
    process = processes.start(command, variables=variables, folder=row.cwd, log=log)
    try:
        ping_s, prediction_s = first_answers(
            row, HOST, ports[0], first, began=began, ended=lambda: process.poll() is not None, log=log
        )
        yield Server(row, process.pid, HOST, ports[0], log, ping_s, prediction_s)
    finally:
        processes.end(process)


def first_answers(
    row: Row, host: str, port: int, first: Message, *, began: float, ended: Callable[[], bool], log: Path
) -> tuple[float, float]:
    """Wait for the first good answer to a ping and to an image; the seconds since `began` of both."""
    deadline = began + START_S

    def waited_for(answers: Callable[[], bool]) -> float:
        while time.perf_counter() < deadline and not ended():
            with contextlib.suppress(OSError, http.client.HTTPException):
                if answers():
                    return time.perf_counter() - began
            time.sleep(POLL_S)
        why = "ended before it answered" if ended() else f"did not answer within {START_S} s"
        raise BenchmarkError(f"{row.name} {why}. The last of {log}:\n{_tail_of(log)}")

    ping_s = waited_for(lambda: _get(host, port, row.ping) == OK)
    return ping_s, waited_for(lambda: post(host, port, row.path, first)[0] == OK)


def post(host: str, port: int, path: str, sent: Message) -> tuple[int, bytes]:
    """Post a message; the answer's status and body."""
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=ANSWER_S)) as connection:
        connection.request("POST", path, sent.body, {"Content-Type": sent.media_type})
        response = connection.getresponse()
        return response.status, response.read()


def _get(host: str, port: int, path: str) -> int:
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=ANSWER_S)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def _form(row: Row) -> Path:
    return HOME / "forms" / row.name


def _values(row: Row, ports: list[int]) -> dict[str, str]:
    """What may stand in braces in a row's command, variables and template."""
    return {
        "python": str(environments.program(row.environment)),
        "bin": str(environments.program(row.environment).parent),
        "port": str(ports[0]),
        "port2": str(ports[1]),
        "port3": str(ports[2]),
        "workers": str(row.workers),
        "network": str(network.FOLDER),
        "form": str(_form(row)),
        "scratch": str(HOME / "scratch" / row.name),
    }


def _filled(parts: tuple[str, ...], values: dict[str, str]) -> list[str]:
    return [part.format_map(values) for part in parts]


def _variables(row: Row, values: dict[str, str]) -> dict[str, str]:
    """Variables of a server: its own, and those of all peers."""
    common = {
        "PATH": f"{values['bin']}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "BENCH_NETWORK": values["network"],
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Of one inference: several workers that each wanted every core would fight for them.
        "TF_NUM_INTRAOP_THREADS": str(max(1, (os.cpu_count() or 1) // row.workers)),
    }
    if row.judge_engine:
        common["BENCH_ENGINE"] = row.judge_engine
    return common | {name: value.format_map(values) for name, value in row.variables.items()}


def _write_template(row: Row, values: dict[str, str]) -> None:
    """Fill in a server's file; only its known names in braces, since JSON and nginx use braces themselves."""
    source = row.cwd / str(row.template)
    text = source.read_text()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    target = {"mlserver": "model-settings.json"}.get(row.folder, source.name)
    (Path(values["scratch"]) / target).write_text(text)


def _free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on; all are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as held:
        found = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in found]


def _tail_of(log: Path) -> str:
    return _tail(log.read_text(errors="replace")) if log.is_file() else ""


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES:])
