"""What the whole suite shares: options, markers, a fixture, and which tests run in the same worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdist.remote import Producer

TESTS = Path(__file__).parent
MARKERS = (
    "slow: runs only under scripts/test --all",
    "real: starts Docker, Chromium, the emulator, a synthesis, a training or commands; not under --fast",
)
# The tests of a folder share what takes long to make, and so a worker. The longest come first.
SHARED_FOLDERS = ("e2e", "fuzz", "model", "container", "infra")
# Under `scripts/test --fast` these are not even imported: TensorFlow, SageMaker's SDK and the CDK are slow.
NOT_FAST = {
    *("e2e", "fuzz", "emulator", "benchmark"),
    *(f"api/test_{name}.py" for name in ("contract", "predict", "series")),
    *(f"container/test_{name}.py" for name in ("predictor", "process", "workers")),
    *(f"delivery/test_{name}.py" for name in ("artifacts", "cost", "demo", "difference", "promotion")),
    *(f"delivery/test_training_{name}.py" for name in ("code", "entry", "job")),
    *(f"gateway/test_{name}.py" for name in ("auth_in_browser", "browser", "cold_start", "gallery")),
    *(f"infra/test_{name}.py" for name in ("auth", "checks", "delivery", "endpoint", "gateway", "hosting")),
    *(f"infra/test_{name}.py" for name in ("monitoring", "policies", "registry", "requests", "shadow")),
    *(f"infra/test_{name}.py" for name in ("second_opinion", "snapshots", "synthesis")),
    *(f"model/test_{name}.py" for name in ("card", "command", "crossval", "export", "learner")),
    *(f"model/test_{name}.py" for name in ("imagenet", "network", "old_store")),
    *(f"model/test_{name}.py" for name in ("refusal_head", "registry", "report", "resume")),
    *(f"model/test_{name}.py" for name in ("tracking", "training")),
}
REAL_FIXTURES = {"trained", "image", "base_image", "assemblies", "unreleased", "full", "browser"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        default=15,
        help="how long inputs are generated for the gateway, about (default: %(default)s)",
    )
    parser.addoption("--fast", action="store_true", help="quick unit tests only")
    parser.addoption(
        "--screenshots",
        action="store_true",
        help="redraw the screenshots of the page (tests/gateway)",
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    # `nohup` and a script's `&` start a process with SIGINT ignored, and its children inherit that: the
    # commands under test would not see Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out `NOT_FAST` under ``--fast``."""
    path = collection_path.relative_to(TESTS).as_posix() if TESTS in collection_path.parents else ""
    return True if config.getoption("--fast") and path in NOT_FAST else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the shared folders, so that no worker is left with one at the end."""
    if config.getoption("--fast"):
        items[:] = [item for item in items if not _is_real(item)]
    ranks = {folder: rank for rank, folder in enumerate(SHARED_FOLDERS)}
    items.sort(key=lambda item: ranks.get(_group(item.nodeid), len(ranks)))


def _is_real(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return any(item.iter_markers("real")) or not REAL_FIXTURES.isdisjoint(fixtures)


@pytest.fixture
def make_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a shell script first on PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return make


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Keep each group in one worker: the markers of xdist's own `loadgroup` are ignored under pytest 9.2."""
    return GroupScheduling(config, log)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives a worker one group of tests after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def _group(nodeid: str) -> str:
    """Return a shared folder's name, or the file of any other test."""
    file = nodeid.partition("::")[0]
    folder = file.split("/")[1]
    return folder if folder in SHARED_FOLDERS else file
