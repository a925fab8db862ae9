"""Settings are refused with everything that is wrong with them, and never half-way through a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra import config
from infra.config import SettingsError

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
    ("line", "instead", "key"),
    [
        ('region = "eu-west-1"', 'region = "mars"', "region = 'mars'"),
        ('region = "eu-west-1"', "", "region: missing"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\nregoin = "x"', "regoin: unknown key"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\nenvironment = "x"', "environment: unknown key"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\nlocal = "yes"', "local = 'yes'"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\naccount = 123456789012', "account = 123456789012"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\naccount = "1234"', "account = '1234'"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\nallowed_origin = "*"', "allowed_origin = '*'"),
        ('auth = "iam"', 'auth = "none"', "auth = 'none': open to everyone"),
        ('auth = "iam"', 'auth = "password"', "auth = 'password'"),
        ("retain_data = true", "retain_data = 1", "retain_data = 1"),
        ("termination_protection = true", "", "termination_protection: missing"),
        ("log_retention_days = 90", "log_retention_days = 91", "log_retention_days = 91"),
        ("requests_per_second = 50", "requests_per_second = 0", "throttle.requests_per_second = 0"),
        ("burst = 100", "burst = 100.5", "throttle.burst = 100.5"),
        ('mode = "real-time"', 'mode = "batch"', "hosting.mode = 'batch': Input should be one of"),
        ('mode = "real-time"', "", "hosting.mode: missing"),
        ("instance_count = 2", "instance_count = 0", "hosting.instance_count = 0"),
        ("instance_count = 2", "instance_count = 1", "hosting.instance_count = 1: a canary needs at least 2"),
        ("instance_count = 2", "instance_count = 2\nmemory_mb = 1024", "hosting.memory_mb: unknown key"),
        ("ml.c7i.large", "c7i.large", "hosting.instance_type = 'c7i.large'"),
        ("ml.c7i.large", "ml.c7g.large", "hosting.instance_type = 'ml.c7g.large': an Arm instance"),
        ("ml.c7i.large", "ml.m6gd.large", "hosting.instance_type = 'ml.m6gd.large': an Arm instance"),
        ('strategy = "canary"', 'strategy = "yolo"', "hosting.rollout.strategy = 'yolo'"),
        ("percent = 10", "percent = 51", "hosting.rollout.percent = 51"),
        ("bake_seconds = 600", "bake_seconds = 3601", "hosting.rollout.bake_seconds = 3601"),
        ("latency_alarm_ms = 1000", "latency_alarm_ms = 0", "hosting.rollout.latency_alarm_ms = 0"),
    ],
)
def test_a_wrong_real_time_setting_is_named(tmp_path: Path, line: str, instead: str, key: str) -> None:
    assert line in REAL_TIME
    (problem,) = refusal(tmp_path, REAL_TIME.replace(line, instead))
    assert problem.startswith(key)


@pytest.mark.parametrize(
    ("line", "instead", "key"),
    [
        ("memory_mb = 2048", "memory_mb = 2000", "hosting.memory_mb = 2000"),
        ("memory_mb = 2048", "memory_mb = 2048\ninstance_count = 1", "hosting.instance_count: unknown key"),
        ("max_concurrency = 5", "max_concurrency = 201", "hosting.max_concurrency = 201"),
        ("max_concurrency = 5", "max_concurrency = 5\n[hosting.rollout]", "hosting.rollout: unknown key"),
    ],
)
def test_a_wrong_serverless_setting_is_named(tmp_path: Path, line: str, instead: str, key: str) -> None:
    assert line in SERVERLESS
    (problem,) = refusal(tmp_path, SERVERLESS.replace(line, instead))
    assert problem.startswith(key)


@pytest.mark.parametrize(
    "instance_type", ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.m7i-flex.large", "ml.t2.medium"]
)
def test_x86_families_are_not_taken_for_arm(tmp_path: Path, instance_type: str) -> None:
    (tmp_path / "stage.toml").write_text(REAL_TIME.replace("ml.c7i.large", instance_type))
    hosting = config.load("stage", folder=tmp_path).hosting
    assert isinstance(hosting, config.RealTime)
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


def test_an_environment_name_that_makes_no_bucket_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pre_Production.toml").write_text(REAL_TIME)
    with pytest.raises(SettingsError, match="environment = 'Pre_Production'"):
        config.load("Pre_Production", folder=tmp_path)
