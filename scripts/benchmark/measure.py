"""Measures one target: how it starts, and every image at every number of connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scripts.benchmark import CORES, HOME, load, network, processes, targets
from scripts.console import DeliveryError, echo
from scripts.delivery.program import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from psutil import Popen

    from scripts.benchmark.load import Payload
    from scripts.benchmark.targets import Target

HOST, OK = "127.0.0.1", 200
START_S = 60  # within which a server must respond
POLL_S = 0.005
RESPONSE_S = 30
TOLERANCE = 1e-3  # of the probability, which must be that of our predictor before anything is timed
WARM_UP_S, WARM_UP_CONNECTIONS = 2, 8
SETTLE_S = 2  # before memory is read: images in flight are not what a server holds
NOISE = 0.05  # share of the machine that other processes may use before a point is measured again
ATTEMPTS = 3
_LOG_LINES = 15


@dataclass(frozen=True)
class Point:
    """One image at one number of connections, or the lower bound's at none.

    `cpu_ms` is None without a single response; `noise` is the share of the machine that other processes used.
    """

    per_second: float
    cpu_ms: float | None
    p50_ms: float
    p99_ms: float
    errors: int = 0
    noise: float = 0.0
    decode_ms: float | None = None  # processor time of decoding and preprocessing, of the lower bound


@dataclass
class Round:
    """A target in one round: seconds from its launch to the first responses, memory, and its points."""

    ping_s: float | None = None
    prediction_s: float | None = None
    pss_mb: float | None = None
    points: dict[str, Point] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """What each target is measured with; an image's name is its form and size."""

    images: dict[str, Payload]
    connections: tuple[int, ...]
    seconds: float


def lower_bound(grid: Grid) -> Round:
    """Measure decoding and inference without a server, in one process per core."""
    python = targets.ensure_environment("ours", (targets.OURS,)) / "python"
    measured = Round()
    for name, image in grid.images.items():
        noise = processes.Disturbance()
        module = "scripts.benchmark.peers.lower_bound"
        command = [str(python), "-m", module, str(CORES), str(grid.seconds)]
        variables = {"MODEL_DIR": str(network.SERVING)}
        printed = output("the lower bound", command, env=variables, input=image.body)
        measured.points[name] = Point(**json.loads(printed), noise=noise.share())
        _report("lower bound", name, measured.points[name])
    return measured


def server(target: Target, grid: Grid) -> Round:
    """Start a server, check its predictions against our predictor's, and measure every point."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    values = {"bin": target.ready(), "port": port, "workers": CORES, "model": targets.MLFLOW_MODEL}
    command = [part.format_map(values) for part in target.command]
    log = HOME / "logs" / f"{target.name}.log"
    began = time.perf_counter()
    with processes.running(command, variables=target.environment(port), log=log) as process:
        first = target.pack(next(iter(grid.images.values())))
        try:
            ping_s = _seconds_until(lambda: _request(port)[0] == OK, process, began)
            prediction_s = _seconds_until(lambda: _request(port, first)[0] == OK, process, began)
        except DeliveryError as error:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
            raise DeliveryError(f"{target.title} {error}. The last lines of {log}:\n{last}") from error
        measured = Round(ping_s, prediction_s)
        url = f"http://{HOST}:{port}/invocations"
        for name, image in grid.images.items():
            payload = target.pack(image)
            _check(target, _request(port, payload), network.expected(image))
            load.run(url, payload, connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_S)
            for connections in grid.connections:
                point = f"{name}@{connections}"
                measured.points[point] = _point(process, url, payload, connections, grid.seconds)
                _report(target.title, point, measured.points[point])
        time.sleep(SETTLE_S)
        measured.pss_mb = processes.pss_mb(process)
    return measured


def _seconds_until(succeeds: Callable[[], bool], process: Popen, began: float) -> float:
    while time.perf_counter() < began + START_S and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if succeeds():
                return time.perf_counter() - began
        time.sleep(POLL_S)
    raise DeliveryError("does not respond in time" if process.poll() is None else "ended before it responded")


def _request(port: int, payload: Payload | None = None) -> tuple[int, bytes]:
    """Request a prediction, or /ping: all targets keep SageMaker's contract."""
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=RESPONSE_S)) as connection:
        if payload:
            headers = {"Content-Type": payload.media_type}
            connection.request("POST", "/invocations", payload.body, headers)
        else:
            connection.request("GET", "/ping")
        response = connection.getresponse()
        return response.status, response.read()


def _check(target: Target, response: tuple[int, bytes], expected: float) -> None:
    status, body = response
    if status != OK:
        raise DeliveryError(f"{target.title} answers {status}: {body[:300]!r}")
    probability = target.probability(body)
    if not abs(probability - expected) <= TOLERANCE:
        raise DeliveryError(f"{target.title} predicts {probability:.6f} instead of {expected:.6f}")


def _point(process: Popen, url: str, payload: Payload, connections: int, seconds: float) -> Point:
    """Measure a point, again if others use the machine meanwhile; return the least disturbed attempt."""
    attempts = []
    for _ in range(ATTEMPTS):
        noise, before = processes.Disturbance(), processes.cpu_seconds(process)
        outcome = load.run(url, payload, connections=connections, seconds=seconds)
        used = processes.cpu_seconds(process) - before
        cpu_ms = 1000 * used / outcome.completed if outcome.completed else None
        attempts.append(
            Point(outcome.per_second, cpu_ms, outcome.p50_ms, outcome.p99_ms, outcome.errors, noise.share())
        )
        if attempts[-1].noise <= NOISE:
            break
    return min(attempts, key=lambda each: each.noise)


def number(value: float | None, digits: int) -> str:
    """Format a number; an unknown one is a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def _report(title: str, name: str, point: Point) -> None:
    disturbed = f"   disturbed: others used {point.noise:.0%}" if point.noise > NOISE else ""
    echo(
        f"  {title:30}{name:30}{point.per_second:8.1f} /s   p50 {point.p50_ms:6.1f}   p99 "
        f"{point.p99_ms:6.1f} ms   {number(point.cpu_ms, 2):>6} ms CPU   {point.errors} errors{disturbed}"
    )
