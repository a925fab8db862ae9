"""Settings are read from the environment; wrong ones are refused, all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container import settings
from container.settings import HELP, MAX_TIMEOUT_S, MAX_WORKERS, Settings, SettingsError, cores

PORT = "SAGEMAKER_BIND_TO_PORT"
WORKERS, TIMEOUT = "SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_TIMEOUT"


def test_an_empty_environment_means_sagemakers_defaults() -> None:
    assert Settings.read({}) == Settings(
        model_dir=Path("/opt/ml/model"),
        host="0.0.0.0",
        port=8080,
        workers=cores(),
        timeout_s=settings.TIMEOUT_S,
        batch=False,
        release={"name": None, "version": None, "sha256": None},
    )


def test_every_variable_is_read_and_documented() -> None:
    variables = {
        "MODEL_DIR": "/models/mine",
        "BIND_HOST": "127.0.0.1",
        PORT: "9001",
        # SageMaker gives the containers of one endpoint a port each and a range for whatever else they open,
        # which need not hold that port.
        "SAGEMAKER_SAFE_PORT_RANGE": "1-2",
        WORKERS: "3",
        TIMEOUT: "5",
        "SAGEMAKER_BATCH": "true",
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
        batch=True,
        release={"name": "mine", "version": "7", "sha256": "ab" * 32},
    )
    assert all(variable in HELP for variable in variables)


@pytest.mark.parametrize("text", ["", " 1", "+1", "1.0", "one", "-1", "²", "\u0661", "9" * 5000, "1\n"])
def test_only_whole_numbers_are_accepted(text: str) -> None:
    with pytest.raises(SettingsError, match=f"{WORKERS} is ") as caught:
        Settings.read({WORKERS: text})
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "least", "most"),
    [(PORT, 0, 65535), (WORKERS, 1, MAX_WORKERS), (TIMEOUT, 1, MAX_TIMEOUT_S)],
)
def test_numbers_are_limited(variable: str, least: int, most: int) -> None:
    for value in (least, most):
        Settings.read({variable: str(value)})
    for value in (least - 1, most + 1):
        with pytest.raises(SettingsError, match=f"whole number from {least} to {most}"):
            Settings.read({variable: str(value)})


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({PORT: "http", WORKERS: "0", TIMEOUT: "600", "MODEL_NAME": "fine"})
    found = str(caught.value).split("; ")
    assert [error.split(",")[0] for error in found] == [
        *(f"{PORT} is 'http'", f"{WORKERS} is '0'", f"{TIMEOUT} is '600'")
    ]


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        *[("max 100000", 8), ("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1)],
        *[("1600000 100000", 8), ("100000 50000", 2), ("", 8), ("nonsense", 8)],
    ],
)
def test_a_containers_quota_limits_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path / "cpu.max") == expected
