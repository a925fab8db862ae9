"""The Lambda's measurement: what is asked, that answers are proved, and the tables made of what came."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.benchmark import environments, quiet
from scripts.benchmark.lambda_ import events, handlers, run, table
from scripts.benchmark.lambda_.handlers import FLOOR, HANDLERS, OURS
from scripts.benchmark.places import BenchmarkError

from . import made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmark.lambda_.probe import Request
    from scripts.benchmark.lambda_.table import Block, Measured

LAMBDA_TAKES = (
    6_291_456  # bytes of a request, docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with run.running() as (url, _pid):
        yield url


@pytest.fixture
def event(tmp_path: Path) -> Path:
    path = tmp_path / "event.json"
    path.write_text(events.text(events.SIZES["0.1 MiB"]))
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers that need no Powertools run in the project's own environment."""
    monkeypatch.setattr(environments, "program", lambda _name: Path(sys.executable))


def test_every_event_holds_its_image_and_lambda_takes_it() -> None:
    for size in events.SIZES.values():
        text = events.text(size)
        assert base64.b64decode(json.loads(text)["body"]) == events.image(size)
        assert len(text) < LAMBDA_TAKES


@pytest.mark.parametrize("handler", [FLOOR, OURS], ids=lambda handler: handler.name)
@pytest.mark.usefixtures("here")
def test_a_warm_handler_keeps_its_one_connection_and_its_own_time_is_less_than_all(
    handler: handlers.Handler, url: str, event: Path, tmp_path: Path
) -> None:
    before = run.count(url)

    said = handlers.start(handler.lay_out(tmp_path), event, requests=3, endpoint_url=url)

    after = run.count(url)
    assert after["calls"] - before["calls"] == 4
    assert after["connections"] - before["connections"] == 1
    assert len(said["warm"]) == 3
    assert all(0 < each["call_ms"] < each["all_ms"] for each in [said["first"], *said["warm"]])
    assert said["import_cpu_ms"] > 0
    assert 20 < said["peak_mb"] < 80  # not that of the process which started it


ANSWERS = "import botocore.client\ndef handle(*_): return {'statusCode': %s, 'body': '%s'}"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('no client')", "the handler mine failed:[\\s\\S]*no client"),
        (ANSWERS % (502, "{}"), "the handler mine answers 502"),
        (ANSWERS % (200, '{"label": "NO"}'), "not the endpoint's prediction"),
    ],
    ids=["fails", "another status", "another answer"],
)
@pytest.mark.usefixtures("here")
def test_a_handler_that_fails_or_answers_wrongly_is_not_measured(
    code: str, words: str, url: str, event: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "handler.py").write_text(code)
    with pytest.raises(BenchmarkError, match=words):
        handlers.start(folder, event, requests=0, endpoint_url=url)


def test_a_peer_lies_among_the_gateways_files_in_the_place_of_its_handler(tmp_path: Path) -> None:
    folders = {handler.name: handler.lay_out(tmp_path) for handler in HANDLERS}
    ours, peer = folders["ours"], folders["powertools"]
    assert "aws_lambda_powertools" in (peer / "handler.py").read_text()
    assert "aws_lambda_powertools" not in (ours / "handler.py").read_text()
    assert (ours / "endpoint.py").read_bytes() == (peer / "endpoint.py").read_bytes()
    assert [path.name for path in folders["boto3"].iterdir()] == ["handler.py"]
    assert not list(tmp_path.rglob("__pycache__"))


def request(own_ms: float, *, call_ms: float = 5.0) -> Request:
    return {
        "all_ms": own_ms + call_ms,
        "call_ms": call_ms,
        "all_cpu_ms": own_ms / 2 + 1,
        "call_cpu_ms": 1,
    }


def block(size: str, *, others: float = 0.01, **own_ms: float) -> Block:
    """A block in which a handler takes so long itself, and a hundred times that to be imported."""
    return {
        "size": size,
        "others": others,
        "handlers": {
            name: {
                "starts": [
                    {"import_ms": 100 * own, "import_cpu_ms": 90 * own, "first": request(2 * own)}
                    for _ in range(2)
                ],
                "warm": [request(own) for _ in range(4)],
                "peak_mb": 80.0,
                "connections": 1,
            }
            for name, own in own_ms.items()
        },
    }


def measured() -> Measured:
    """Three rounds, in which the floor takes 1 ms, ours 1.2, 1.1 and 1.5 ms, the peer 3 ms."""
    return {
        "command": "scripts/bench --lambda",
        "revision": "0123456789ab",
        "machine": made.results()["machine"],
        "date": "2026-01-02 03:04 UTC",
        "versions": {"boto3": "1.2", "botocore": "1.3", "aws-lambda-powertools": "3.4"},
        "blocks": [
            block(size, boto3=1.0, ours=ours, powertools=3.0)
            for ours in (1.2, 1.1, 1.5)
            for size in events.SIZES
        ],
    }


def cells(text: str, beginning: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {beginning} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_tables_show_what_is_the_handlers_own_and_ratios_to_the_floor() -> None:
    warm, cold = table.markdown(measured()).split("## What a cold start costs")
    assert cells(warm, OURS.title) == [
        *["1.20 (1.10-1.50), 1.20 (1.10-1.50)"] * 3, *["0.60 (0.55-0.75), 0.60 (0.55-0.75)"] * 3,
        "1.20x", "1.6 (1.6-1.8)", "80", "1",
    ]  # fmt: skip
    assert cells(warm, "the same on Powertools")[6] == "3.00x"
    # Of 18 starts, six at each of 110, 120 and 150 ms; their first requests take twice a warm one's time.
    assert cells(cold, OURS.title) == [
        "120, 150", "108", "1.20 (1.10-1.50)", *["2.40, 3.00"] * 3,
    ]  # fmt: skip
    assert cells(cold, FLOOR.title)[2] == "1.00"


def test_the_tables_can_be_written_after_the_first_block() -> None:
    one = {**measured(), "blocks": measured()["blocks"][:1]}
    text = table.markdown(one)  # type: ignore[arg-type]
    assert cells(text, OURS.title)[:2] == ["1.20, 1.20", "-, -"]
    assert "Others used 1 % of the cores" in text


@pytest.mark.usefixtures("here")
def test_a_run_measures_by_turns_and_writes_table_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ensure", lambda _name: None)
    for module in (run, table):
        monkeypatch.setattr(module, "HANDLERS", (FLOOR, OURS))
    monkeypatch.setattr(run, "STARTS", 1)
    monkeypatch.setattr(run, "REQUESTS", 1)
    monkeypatch.setattr(events, "SIZES", {"0.1 MiB": events.SIZES["0.1 MiB"]})

    run.measure(argparse.Namespace(rounds=1, no_wait=True, out=tmp_path / "out"))

    written: Measured = json.loads((tmp_path / "out" / run.FILE).read_text())
    [figures] = [each["handlers"]["ours"] for each in written["blocks"]]
    assert (len(figures["starts"]), len(figures["warm"]), figures["connections"]) == (1, 1, 1)
    assert cells((tmp_path / "out" / table.FILE).read_text(), OURS.title)[-1] == "1"


def test_the_quieter_of_two_tries_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = iter(
        [block("1 MiB", others=0.3, ours=9.0), block("1 MiB", others=0.2, ours=2.0), block("1 MiB", ours=5.0)]
    )
    monkeypatch.setattr(quiet, "wait", lambda *_, **__: 0.0)
    bench = run.Bench(tmp_path, "http://127.0.0.1:1", 1, patience_s=1.0)
    monkeypatch.setattr(bench, "_once", lambda _size: next(tries))
    assert bench.block("1 MiB")["others"] == 0.2
    assert bench.block("1 MiB")["others"] == 0.01
