"""What the environment may say, and how it is told that it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container import settings
from container.settings import HELP, MAX_TIMEOUT_S, MAX_WORKERS, Settings, SettingsError, cores

from .serving import serving

PORT, RANGE = "SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_SAFE_PORT_RANGE"
WORKERS, TIMEOUT = "SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_TIMEOUT"


def test_an_empty_environment_means_sagemakers_defaults() -> None:
    assert Settings.read({}) == Settings(
        model_dir=Path("/opt/ml/model"),
        host="0.0.0.0",
        port=8080,
        workers=cores(),
        timeout_s=settings.TIMEOUT_S,
        name=None,
        version=None,
        sha256=None,
    )


def test_every_variable_is_obeyed() -> None:
    variables = {
        "MODEL_DIR": "/models/mine",
        "BIND_HOST": "127.0.0.1",
        PORT: "9001",
        WORKERS: "3",
        TIMEOUT: "5",
        "MODEL_NAME": "mine",
        "MODEL_VERSION": "7",
        "MODEL_SHA256": "ab" * 32,
    }
    assert Settings.read(variables) == Settings(
        model_dir=Path("/models/mine"),
        host="127.0.0.1",
        port=9001,
        workers=3,
        timeout_s=5,
        name="mine",
        version="7",
        sha256="ab" * 32,
    )
    assert all(variable in HELP for variable in variables)


@pytest.mark.parametrize(("port", "span"), [("8080", "9000-9999"), ("9000", "9000-9999"), ("0", "1-2")])
def test_the_range_for_second_listeners_is_no_matter_of_the_first(port: str, span: str) -> None:
    # SageMaker gives the containers of one endpoint a port each and a range for whatever else they open,
    # which need not hold that port.
    assert Settings.read({PORT: port, RANGE: span}).port == int(port)


@pytest.mark.parametrize(
    "text", ["", " 1", "+1", "1.0", "1e1", "one", "-1", "²", "\u0661", "9" * 5000, "1\n"]
)
@pytest.mark.parametrize("variable", [PORT, WORKERS, TIMEOUT])
def test_what_is_no_whole_number_is_refused(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is ") as caught:
        Settings.read({variable: text})
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "least", "most"),
    [(PORT, 0, 65535), (WORKERS, 1, MAX_WORKERS), (TIMEOUT, 1, MAX_TIMEOUT_S)],
)
def test_a_number_is_taken_from_the_least_to_the_most(variable: str, least: int, most: int) -> None:
    for value in (least, most):
        Settings.read({variable: str(value)})
    for value in (least - 1, most + 1):
        with pytest.raises(SettingsError, match=f"whole number from {least} to {most}"):
            Settings.read({variable: str(value)})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({PORT: "http", WORKERS: "0", TIMEOUT: "600", "MODEL_NAME": "fine"})
    assert str(caught.value).split("; ") == [
        f"{PORT} is 'http', no whole number from 0 to 65535",
        f"{WORKERS} is '0', no whole number from 1 to {MAX_WORKERS}",
        f"{TIMEOUT} is '600', no whole number from 1 to {MAX_TIMEOUT_S}",
    ]


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        *[("max 100000", 8), ("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1)],
        *[("1600000 100000", 8), ("100000 50000", 2), ("", 8), ("nonsense", 8)],
    ],
)
def test_a_containers_quota_counts_as_so_many_whole_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path / "cpu.max") == expected


def test_without_a_quota_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for count, expected in ((1, 1), (8, 8), (512, MAX_WORKERS)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=count: set(range(count)))
        assert cores(tmp_path / "missing") == expected


def test_a_server_has_a_worker_for_each_core_that_it_may_use(model_dir: Path) -> None:
    allowed = os.sched_getaffinity(0)
    with serving(model_dir) as server:
        assert len(server.workers()) == cores()
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with serving(model_dir) as server:
            assert len(server.workers()) == 1
    finally:
        os.sched_setaffinity(0, allowed)
