"""The written list of wrong settings: each is one report, an exit status and no stack trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra import app
from tests.infra.synthesis import ROOT

FULL = (ROOT / "tests" / "fixtures" / "environments" / "full.toml").read_text()
SERVERLESS = (ROOT / "infra" / "environments" / "dev.toml").read_text()

Wrong = tuple[str, str, str]

# (a part of full.toml, what stands there instead, how its line in the report begins)
REAL_TIME_MISTAKES: list[Wrong] = [
    # types
    ('region = "eu-west-1"', "region = 1", "region = 1"),
    ('account = "123456789012"', "account = 123456789012", "account = 123456789012"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nlocal = "yes"', "local = 'yes'"),
    ("burst = 100", "burst = 100.5", "throttle.burst = 100.5"),
    ("retain_data = true", 'retain_data = "yes"', "retain_data = 'yes'"),
    ("customer_key = true", "customer_key = 1", "customer_key = 1"),
    ("instance_count = 4", "instance_count = 4.5", "hosting.instance_count = 4.5"),
    ('timezone = "Europe/Dublin"', "timezone = 1", "hosting.scaling.off_hours.timezone = 1"),
    ("emails = [", 'emails = "me@example.org" #', "sight.emails = 'me@example.org'"),
    ("percent = 20", "percent = true", "hosting.data_capture.percent = True"),
    # forms
    ('region = "eu-west-1"', 'region = "Ireland"', "region = 'Ireland': write a region's code, such as"),
    ('account = "123456789012"', 'account = "1234"', "account = '1234': write the account's twelve digits"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nallowed_origin = "*"', "allowed_origin = '*': write "),
    ("ml.m7i.xlarge", "m7i.xlarge", "hosting.instance_type = 'm7i.xlarge': write ml.FAMILY.SIZE"),
    ('"subnet-0123456789abcdef1"', '"vpc-1"', "hosting.network.subnet_ids.1 = 'vpc-1': write a subnet's id"),
    ('"sg-0123456789abcdef0"', '"default"', "hosting.network.security_group_ids.0 = 'default'"),
    ("on-call@example.org", "on-call", "sight.emails.0 = 'on-call': write one mail address"),
    ('begin = "20:30"', 'begin = "8pm"', "hosting.scaling.off_hours.begin = '8pm'"),
    ('end = "06:00"', 'end = "24:00"', "hosting.scaling.off_hours.end = '24:00'"),
    ("Europe/Dublin", "Europe/Atlantis", "hosting.scaling.off_hours.timezone = 'Europe/Atlantis': no such"),
    # ranges
    ("log_retention_days = 365", "log_retention_days = 100", "log_retention_days = 100"),
    ("instance_count = 4", "instance_count = 0", "hosting.instance_count = 0"),
    ("step_percent = 25", "step_percent = 9", "hosting.rollout.step_percent = 9"),
    ("step_percent = 25", "step_percent = 51", "hosting.rollout.step_percent = 51"),
    ("bake_seconds = 300", "bake_seconds = 179", "hosting.rollout.bake_seconds = 179"),
    ("ml.m7i.xlarge", "ml.m7i.xlarg", "hosting.instance_type = 'ml.m7i.xlarg'"),
    ("bake_seconds = 300", "bake_seconds = 3601", "hosting.rollout.bake_seconds = 3601"),
    ("old_fleet_wait_seconds = 120", "old_fleet_wait_seconds = -1", "hosting.rollout.old_fleet_wait_sec"),
    ("latency_alarm_ms = 800", "latency_alarm_ms = 60001", "hosting.rollout.latency_alarm_ms = 60001"),
    ("latency_alarm_ms = 2000", "latency_alarm_ms = 30000", "sight.latency_alarm_ms = 30000"),
    ("max_instances = 8", "max_instances = 101", "hosting.scaling.max_instances = 101"),
    ("concurrent_requests_per_instance = 5", "concurrent_requests_per_instance = 0", "hosting.scaling.conc"),
    ("scale_in_cooldown_seconds = 900", "scale_in_cooldown_seconds = 3601", "hosting.scaling.scale_in_cool"),
    ("percent = 20", "percent = 101", "hosting.data_capture.percent = 101"),
    ("expire_days = 30", "expire_days = 0", "hosting.data_capture.expire_days = 0"),
    ("requests_per_second = 50", "requests_per_second = 0", "throttle.requests_per_second = 0"),
    ("burst = 100", "burst = 5001", "throttle.burst = 5001"),
    ("monthly_budget_usd = 1000", "monthly_budget_usd = 0", "sight.monthly_budget_usd = 0"),
    ("refused_share = 0.2", "refused_share = 1.5", "sight.shift.refused_share = 1.5"),
    ("hours = 6", "hours = 25", "sight.shift.hours = 25"),
    ("every_minutes = 15", "every_minutes = 1", "sight.golden_canary.every_minutes = 1"),
    ('working_days = ["MON", ', 'working_days = ["FUNDAY", ', "hosting.scaling.off_hours.working_days.0 = "),
    # choices
    ('auth = "iam"', 'auth = "password"', "auth = 'password'"),
    ('mode = "real-time"', 'mode = "batch"', "hosting.mode = 'batch': Input should be one of"),
    ('strategy = "linear"', 'strategy = "rolling"', "hosting.rollout.strategy = 'rolling': Input should be"),
    ("expire_days = 30", 'expire_days = 30\nwhat = ["both"]', "hosting.data_capture.what.0 = 'both'"),
    # combinations
    ('auth = "iam"', 'auth = "none"', "auth = 'none': open to everyone"),
    ("ml.m7i.xlarge", "ml.m7g.xlarge", "hosting.instance_type = 'ml.m7g.xlarge': an Arm instance"),
    ("ml.m7i.xlarge", "ml.m6gd.large", "hosting.instance_type = 'ml.m6gd.large': an Arm instance"),
    ("ml.m7i.xlarge", "ml.m5d.xlarge", "customer_key = True: ml.m5d.xlarge has disks of its own"),
    ("ml.m7i.xlarge", "ml.g5.xlarge", "customer_key = True: ml.g5.xlarge has disks of its own"),
    ("instance_count = 4", "instance_count = 1", "hosting.instance_count = 1: a linear rollout needs"),
    ("max_instances = 8", "max_instances = 3", "hosting.scaling = "),
    ("instances = 2", "instances = 4", "hosting.scaling = "),
    ("instances = 2", "instances = 1", "hosting.scaling = "),
    ('end = "06:00"', 'end = "20:30"', "hosting.scaling.off_hours.end = '20:30': off hours end when they"),
    (
        "step_percent = 25\nbake_seconds = 300", "step_percent = 10\nbake_seconds = 3000",
        "hosting.rollout.bake_seconds = 3000: 10 steps of it take longer",
    ),
    ('"subnet-0123456789abcdef1"', '"subnet-0123456789abcdef0"', "hosting.network.subnet_ids = "),
    (', "subnet-0123456789abcdef1"', "", "hosting.network.subnet_ids = "),
    ('["sg-0123456789abcdef0"]', "[]", "hosting.network.security_group_ids = []"),
    ('"TUE", ', '"MON", ', "hosting.scaling.off_hours.working_days = "),
    ("expire_days = 30", "expire_days = 30\nwhat = []", "hosting.data_capture.what = []"),
    # unknown and missing keys
    ('auth = "iam"', 'auht = "iam"', "auth: missing"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nregoin = "x"', "regoin: unknown key"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nenvironment = "x"', "environment: unknown key"),
    ("customer_key = true", "customer_key = true\nkms = true", "kms: unknown key"),
    ("termination_protection = true", "", "termination_protection: missing"),
    ('mode = "real-time"', "", "hosting.mode: missing"),
    ("step_percent = 25", "percent = 10", "hosting.rollout.step_percent: missing"),
    ("max_instances = 8", "max_instances = 8\nmin_instances = 1", "hosting.scaling.min_instances: unknown"),
    ("instance_count = 4", "instance_count = 4\nmemory_mb = 2048", "hosting.memory_mb: unknown key"),
    ("[sight.golden_canary]", "[sight.canary]", "sight.canary: unknown key"),
    ("[hosting.network]", "[hosting.vpc]", "hosting.vpc: unknown key"),
    # no TOML
    ('region = "eu-west-1"', "region = ]", "not TOML"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nregion = "eu-west-1"', "not TOML"),
]  # fmt: skip
# (a part of dev.toml, what stands there instead, how its line in the report begins)
SERVERLESS_MISTAKES: list[Wrong] = [
    ("memory_mb = 2048", "memory_mb = 2000", "hosting.memory_mb = 2000"),
    ("max_concurrency = 5", "max_concurrency = 201", "hosting.max_concurrency = 201"),
    ("max_concurrency = 5", "max_concurrency = 5\ninstance_count = 1", "hosting.instance_count: unknown"),
    ("max_concurrency = 5", "max_concurrency = 5\nrollout = {}", "hosting.rollout: unknown key"),
    ("max_concurrency = 5", "max_concurrency = 5\nscaling = {}", "hosting.scaling: unknown key"),
    ("max_concurrency = 5", "max_concurrency = 5\ndata_capture = {}", "hosting.data_capture: unknown key"),
    ("max_concurrency = 5", "max_concurrency = 5\nnetwork = {}", "hosting.network: unknown key"),
    ("max_concurrency = 5", "max_concurrency = 5\nkms_key_id = 'x'", "hosting.kms_key_id: unknown key"),
]  # fmt: skip


def test_the_list_is_as_long_as_was_asked_for() -> None:
    assert len(REAL_TIME_MISTAKES) + len(SERVERLESS_MISTAKES) >= 40


def report(folder: Path, environment: str) -> str:
    """What synth says as it exits; a message as exit status is what Python prints before it exits with 1."""
    with pytest.raises(SystemExit) as exit_:
        app.main(context={"env": environment}, environments=folder)
    assert isinstance(exit_.value.code, str)
    return exit_.value.code


@pytest.mark.parametrize(("part", "instead", "line"), REAL_TIME_MISTAKES)
def test_a_wrong_real_time_setting_is_one_report(tmp_path: Path, part: str, instead: str, line: str) -> None:
    assert part in FULL
    (tmp_path / "stage.toml").write_text(FULL.replace(part, instead, 1))
    said = report(tmp_path, "stage").splitlines()
    assert said[0] == f"{tmp_path / 'stage.toml'} cannot be used:"
    assert any(found.startswith(f"  - {line}") for found in said), said


@pytest.mark.parametrize(("part", "instead", "line"), SERVERLESS_MISTAKES)
def test_a_wrong_serverless_setting_is_one_report(tmp_path: Path, part: str, instead: str, line: str) -> None:
    assert part in SERVERLESS
    (tmp_path / "stage.toml").write_text(SERVERLESS.replace(part, instead, 1))
    said = report(tmp_path, "stage").splitlines()
    assert said[0] == f"{tmp_path / 'stage.toml'} cannot be used:"
    assert any(found.startswith(f"  - {line}") for found in said), said


def test_an_absent_file_names_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text(FULL)
    assert report(tmp_path, "absent").splitlines() == [
        f"{tmp_path / 'absent.toml'} cannot be used:",
        "  - no such environment; there are stage",
    ]


def test_mistakes_all_over_the_file_are_reported_at_once(tmp_path: Path) -> None:
    written = FULL
    for part, instead in (
        ('region = "eu-west-1"', 'region = "mars"'),
        ('auth = "iam"', 'auth = "none"'),
        ("step_percent = 25", "step_percent = 95"),
        ('begin = "20:30"', 'begin = "8pm"'),
        ("percent = 20", "percent = 0"),
        ("on-call@example.org", "on-call"),
        ("hours = 6", "hours = 6\nminutes = 1"),
    ):
        written = written.replace(part, instead, 1)
    (tmp_path / "stage.toml").write_text(written)
    _, *lines = report(tmp_path, "stage").splitlines()
    assert [line.removeprefix("  - ").split(" ")[0].rstrip(":") for line in lines] == [
        "region",
        "auth",
        "hosting.rollout.step_percent",
        "hosting.scaling.off_hours.begin",
        "hosting.data_capture.percent",
        "sight.emails.0",
        "sight.shift.minutes",
    ]


def test_the_process_exits_with_1_and_prints_the_report_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.app"]
    environment = {
        "CDK_CONTEXT_JSON": json.dumps({"env": "absent"}),
        "PATH": str(Path(sys.executable).parent),
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "absent.toml cannot be used:\n  - no such environment; there are dev, local, prod" in done.stderr
    assert "Traceback" not in done.stderr
