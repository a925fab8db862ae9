"""The peers' environments, and that every row can be started from what lies here."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.benchmark import environments, servers
from scripts.benchmark.engines import ENGINES
from scripts.benchmark.engines.probe import LOADERS
from scripts.benchmark.measure import Grid, name_of
from scripts.benchmark.places import PEERS, ROOT, BenchmarkError
from scripts.benchmark.rows import QUICK, ROWS, Row
from scripts.benchmark.wire import Message

if TYPE_CHECKING:
    from pathlib import Path

LOCKS = {name: lock for name, lock in environments.LOCKS.items() if lock.is_relative_to(PEERS.parent)}
# What computes, decodes or asks AWS; in another version a peer might be quicker, slower or wrong by that
# alone.
ENGINES_OF_THE_PROJECT = {
    "tensorflow", "keras", "numpy", "pillow", "ai-edge-litert", "mlflow", "boto3", "botocore",
}  # fmt: skip


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_its_hash_and_no_address(name: str) -> None:
    text = LOCKS[name].read_text()
    packages = [part for part in re.split(r"\n(?=\S)", text) if "==" in part.splitlines()[0]]
    assert len(packages) == len(environments.pins(text)) > 5
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_what_its_source_asks_for(name: str) -> None:
    source = LOCKS[name].with_suffix(".in").read_text()
    asked = re.findall(r"^([\w.-]+)", source, re.MULTILINE)
    assert asked
    assert {each.lower() for each in asked} <= set(environments.pins(LOCKS[name].read_text()))


@pytest.mark.parametrize("name", LOCKS)
def test_peers_compute_with_the_projects_own_engines(name: str) -> None:
    project = environments.pins((ROOT / "requirements.lock").read_text())
    peer = environments.pins(LOCKS[name].read_text())
    shared = ENGINES_OF_THE_PROJECT & set(peer)
    assert shared
    assert {each: peer[each] for each in shared} == {each: project[each] for each in shared}


def test_no_lock_file_lies_unused() -> None:
    assert set(PEERS.parent.rglob("*.lock")) == set(LOCKS.values())


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_names_only_what_is_filled_in_and_files_that_are_there(row: Row) -> None:
    texts = [*row.command, *row.variables.values(), *(row.prepare or ())]
    named = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}
    values = servers._values(row, [1, 2, 3])
    assert named <= set(values)
    assert row.environment in environments.LOCKS
    assert row.cwd.is_dir()
    files = [part for part in (*row.command, *(row.prepare or ())) if part.endswith(".py")]
    assert all((row.cwd / file).is_file() for file in files)
    assert row.template is None or (row.cwd / row.template).is_file()


def test_a_template_keeps_the_braces_of_its_own_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS["sagemaker-sample"]
    values = servers._values(row, [8081, 2, 3]) | {"scratch": str(tmp_path)}
    servers._write_template(row, values)
    text = (tmp_path / "nginx.conf").read_text()
    assert "listen 127.0.0.1:8081;" in text
    assert f"server unix:{tmp_path}/socket;" in text
    assert not re.search(r"\{(port|scratch)\}", text)
    assert text.count("{") == text.count("}") > 4


def test_free_ports_differ() -> None:
    assert len(set(servers._free_ports(3))) == 3


def test_a_server_that_ends_at_once_fails_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Traceback\nValueError: no model\n")
    with pytest.raises(BenchmarkError, match=r"ended before it answered[\s\S]*no model"):
        servers.first_answers(
            ROWS["ours"], "127.0.0.1", 1, Message(b"", "image/png"), began=0.0,
            ended=lambda: True, log=log,
        )  # fmt: skip


def test_the_floor_has_a_point_an_image_and_a_server_one_for_each_number_of_connections() -> None:
    grid = Grid(images=("jpeg-225", "jpeg-512"), connections=(1, 8), seconds=1.0)
    assert [name_of(*point) for point in grid.points(ROWS["floor"])] == ["jpeg-225", "jpeg-512"]
    assert len(grid.points(ROWS["ours"])) == 4
    assert [name_of(*point) for point in grid.points(ROWS["mlflow-tensor-1"])] == [
        "jpeg-512@1",
        "jpeg-512@8",
    ]


def test_the_quick_run_has_the_floor_ours_mlflow_and_every_framework() -> None:
    kinds = {ROWS[name].kind for name in QUICK}
    frameworks = {name for name, row in ROWS.items() if row.kind == "framework"}
    assert {"floor", "ours", "mlflow", "framework"} <= kinds
    assert frameworks <= set(QUICK)


def test_every_engine_can_be_loaded() -> None:
    assert {engine.name for engine in ENGINES} == set(LOADERS)
    for engine in ENGINES:
        locked = environments.pins(environments.LOCKS[engine.environment].read_text())
        assert engine.package in locked


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, "beside its peers"),
        (["--rows", "nobody"], 2, "invalid choice: 'nobody'"),
        (["--seconds", "0"], 2, "must be a number above 0, not '0'"),
        (["--quick", "--soak"], 2, "not allowed with"),
    ],
)
def test_the_command_says_what_it_takes(arguments: list[str], status: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert words in done.stdout + done.stderr
