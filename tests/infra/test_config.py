"""Settings are refused with everything that is wrong with them, and never half-way through a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra import config
from infra.config import SettingsError
from infra.settings.hosting import RealTime

if TYPE_CHECKING:
    from pathlib import Path

REAL_TIME = """
region = "eu-west-1"
auth = "iam"
retain_data = true
termination_protection = true
log_retention_days = 90

[throttle]
requests_per_second = 50
burst = 100

[hosting]
mode = "real-time"
instance_type = "ml.c7i.large"
instance_count = 2

[hosting.rollout]
strategy = "canary"
percent = 10
bake_seconds = 600
latency_alarm_ms = 1000
"""
SERVERLESS = """
region = "eu-west-1"
auth = "api_key"
retain_data = false
termination_protection = false
log_retention_days = 14

[throttle]
requests_per_second = 10
burst = 20

[hosting]
mode = "serverless"
memory_mb = 2048
max_concurrency = 5
"""


def refusal(folder: Path, written: str) -> list[str]:
    (folder / "stage.toml").write_text(written)
    with pytest.raises(SettingsError) as error:
        config.load("stage", folder=folder)
    assert error.value.source == folder / "stage.toml"
    return error.value.problems


@pytest.mark.parametrize("environment", config.known_environments())
def test_our_own_environments_are_right(environment: str) -> None:
    assert config.load(environment).environment == environment


@pytest.mark.parametrize("written", [REAL_TIME, SERVERLESS])
def test_what_the_wrong_settings_are_made_from_is_right(tmp_path: Path, written: str) -> None:
    (tmp_path / "stage.toml").write_text(written)
    assert config.load("stage", folder=tmp_path).local is False


@pytest.mark.parametrize(
    "instance_type", ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.m7i-flex.large", "ml.t2.medium"]
)
def test_x86_families_are_not_taken_for_arm(tmp_path: Path, instance_type: str) -> None:
    (tmp_path / "stage.toml").write_text(REAL_TIME.replace("ml.c7i.large", instance_type))
    hosting = config.load("stage", folder=tmp_path).hosting
    assert isinstance(hosting, RealTime)
    assert hosting.instance_type == instance_type


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    written = REAL_TIME.replace("eu-west-1", "mars").replace('"iam"', '"none"').replace("= 10\n", "= 95\n")
    assert [problem.split(" ")[0] for problem in refusal(tmp_path, written)] == [
        "region",
        "auth",
        "hosting.rollout.percent",
    ]


def test_only_a_laptop_may_be_open(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("local = true\n" + REAL_TIME.replace('"iam"', '"none"'))
    assert config.load("mine", folder=tmp_path).auth == "none"


def test_a_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    (problem,) = refusal(tmp_path, "region = ]")
    assert problem.startswith("not TOML")
    assert "line 1" in problem


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'region = "eu-\xff"')
    with pytest.raises(SettingsError, match=r"(?s)mine\.toml .*not UTF-8.* at byte 13"):
        config.load("mine", folder=tmp_path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        config.load("folder", folder=tmp_path)


def test_an_alarm_without_the_time_to_go_off_is_refused(tmp_path: Path) -> None:
    before = REAL_TIME.partition("[hosting.rollout]")[0]
    rollout = 'strategy = "all-at-once"\nlatency_alarm_ms = 800\nold_fleet_wait_seconds = 179\n'
    (problem,) = refusal(tmp_path, f"{before}[hosting.rollout]\n{rollout}")
    assert "old_fleet_wait_seconds = 179: latency_alarm_ms needs 180 seconds" in problem


def test_an_environment_name_that_makes_no_bucket_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pre_Production.toml").write_text(REAL_TIME)
    with pytest.raises(SettingsError, match="environment = 'Pre_Production'"):
        config.load("Pre_Production", folder=tmp_path)
