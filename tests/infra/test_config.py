"""Wrong settings are refused with every problem in one report, and no stack trace."""

from __future__ import annotations

import codecs
import itertools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra import config, release
from infra.config import SettingsError
from infra.config.environment import RENAMED
from infra.paths import ENVIRONMENTS, ROOT
from scripts.commands.cost import PRICES, read_prices
from tests.infra.synthesis import FULL, RELEASE

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = FULL[FULL.index('strategy = "linear"') : FULL.index("\n[hosting.scaling]")]
SERVERLESS = (ENVIRONMENTS / "dev.toml").read_text()

# (a part of full.toml, its replacement, the start of the report's line about it)
Mistake = tuple[str, str, str]
FIELDS: list[Mistake] = [
    # types
    ('account = "123456789012"', "account = 123456789012", "account = 123456789012"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nlocal = "yes"', "local = 'yes'"),
    ("customer_key = true", "customer_key = 1", "customer_key = 1"),
    ("instance_count = 4", "instance_count = 4.5", "hosting.instance_count = 4.5"),
    ("emails = [", 'emails = "me@example.org" #', "monitoring.emails = 'me@example.org'"),
    # forms
    ('region = "eu-west-1"', 'region = "Ireland"', "region = 'Ireland': write a region's code, such as"),
    ('account = "123456789012"', 'account = "1234"', "account = '1234': write the account's twelve digits"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nallowed_origin = "*"', "allowed_origin = '*': write "),
    ("ml.m7i.xlarge", "m7i.xlarge", "hosting.instance_type = 'm7i.xlarge': write ml.FAMILY.SIZE"),
    ('"subnet-0123456789abcdef1"', '"vpc-1"', "hosting.network.subnet_ids.1 = 'vpc-1': write a subnet's id"),
    ('"sg-0123456789abcdef0"', '"default"', "hosting.network.security_group_ids.0 = 'default'"),
    ("on-call@example.org", "on-call", "monitoring.emails.0 = 'on-call': write one mail address"),
    ('begin = "20:30"', 'begin = "8pm"', "hosting.scaling.off_hours.begin = '8pm'"),
    ('end = "06:00"', 'end = "24:00"', "hosting.scaling.off_hours.end = '24:00'"),
    ("Europe/Dublin", "Europe/Atlantis", "hosting.scaling.off_hours.timezone = 'Europe/Atlantis': no such"),
    ('region = "eu', 'bootstrap_qualifier = "a.b"\nregion = "eu', "bootstrap_qualifier = 'a.b': write"),
    # ranges
    ("log_retention_days = 365", "log_retention_days = 100", "log_retention_days = 100"),
    ("instance_count = 4", "instance_count = 0", "hosting.instance_count = 0"),
    ("step_percent = 25", "step_percent = 51", "hosting.rollout.step_percent = 51"),
    ("bake_seconds = 300", "bake_seconds = 179", "hosting.rollout.bake_seconds = 179"),
    ("bake_seconds = 300", "bake_seconds = 3601", "hosting.rollout.bake_seconds = 3601"),
    ("old_fleet_wait_seconds = 120", "old_fleet_wait_seconds = -1", "hosting.rollout.old_fleet_wait_sec"),
    ("latency_alarm_ms = 800", "latency_alarm_ms = 60001", "hosting.rollout.latency_alarm_ms = 60001"),
    ("latency_alarm_ms = 2000", "latency_alarm_ms = 30000", "monitoring.latency_alarm_ms = 30000"),
    ("max_instances = 8", "max_instances = 101", "hosting.scaling.max_instances = 101"),
    ("concurrent_requests_per_instance = 5", "concurrent_requests_per_instance = 0", "hosting.scaling.conc"),
    ("scale_in_cooldown_seconds = 900", "scale_in_cooldown_seconds = 3601", "hosting.scaling.scale_in_cool"),
    ("percent = 20", "percent = 101", "hosting.data_capture.percent = 101"),
    ("expire_days = 30", "expire_days = 0", "hosting.data_capture.expire_days = 0"),
    ("requests_per_second = 50", "requests_per_second = 0", "throttle.requests_per_second = 0"),
    ("burst = 100", "burst = 5001", "throttle.burst = 5001"),
    ("monthly_budget_usd = 1000", "monthly_budget_usd = 0", "monitoring.monthly_budget_usd = 0"),
    ("refused_share = 0.2", "refused_share = 1.5", "monitoring.drift.refused_share = 1.5"),
    ("hours = 6", "hours = 25", "monitoring.drift.hours = 25"),
    ("every_minutes = 15", "every_minutes = 1", "monitoring.golden_canary.every_minutes = 1"),
    ('working_days = ["MON", ', 'working_days = ["FUNDAY", ', "hosting.scaling.off_hours.working_days.0 = "),
    ('auth = "iam"', 'auth = "iam"\nfirewall.requests_per_five_minutes = 9', "firewall.requests_per"),
    # choices
    ('auth = "iam"', 'auth = "password"', "auth = 'password'"),
    ('mode = "real-time"', 'mode = "batch"', "hosting.mode = 'batch': Input should be one of"),
    ('strategy = "linear"', 'strategy = "rolling"', "hosting.rollout.strategy = 'rolling': Input should be"),
    ("expire_days = 30", 'expire_days = 30\nwhat = ["both"]', "hosting.data_capture.what.0 = 'both'"),
    ('auth = "iam"', 'auth = "iam"\napi_log_role = "none"', "api_log_role = 'none'"),
    # families and lists
    ("ml.m7i.xlarge", "ml.m7g.xlarge", "hosting.instance_type = 'ml.m7g.xlarge': an Arm instance"),
    ("ml.m7i.xlarge", "ml.m6gd.large", "hosting.instance_type = 'ml.m6gd.large': an Arm instance"),
    ('"subnet-0123456789abcdef1"', '"subnet-0123456789abcdef0"', "hosting.network.subnet_ids = "),
    (', "subnet-0123456789abcdef1"', "", "hosting.network.subnet_ids = "),
    ('["sg-0123456789abcdef0"]', "[]", "hosting.network.security_group_ids = []"),
    ('"TUE", ', '"MON", ', "hosting.scaling.off_hours.working_days = "),
    ("expire_days = 30", "expire_days = 30\nwhat = []", "hosting.data_capture.what = []"),
    ('auth = "iam"', 'sign_in.pages = ["http://example.org/"]', "sign_in.pages.0 = "),
    ('auth = "iam"', 'sign_in.pages = ["https://example.org/{stage}/"]', "sign_in.pages.0 = "),
    ('auth = "iam"', 'sign_in.pages = ["https://a.org/", "https://a.org/"]', "sign_in.pages = "),
    ('"acme/tumor-detector"', '"tumor-detector"', "github.repository = 'tumor-detector'"),
    ('"acme/tumor-detector"', '"acme/*"', "github.repository = 'acme/*'"),
    ('"acme/tumor-detector"', '"acme/x:ref"', "github.repository = 'acme/x:ref'"),
    ('"acme/tumor-detector"', '"acme@1/x"', "github.repository = 'acme@1/x': write owner/name, or with both"),
    ('"acme/tumor-detector"', '"acme/x@2"', "github.repository = 'acme/x@2'"),
    # unknown and missing keys
    ('auth = "iam"', 'auth = "iam"\nfirewall = {rate = 1}', "firewall.rate: unknown key"),
    ('auth = "iam"', 'auth = "iam"\nfirewall = {}', "firewall.requests_per_five_minutes: missing"),
    ('auth = "iam"', 'sign_in.domain = "x"', "sign_in.domain: unknown key"),
    ('auth = "iam"', 'auht = "iam"', "auth: missing"),
    ('region = "eu-west-1"', 'region = "eu-west-1"\nenvironment = "x"', "environment: unknown key"),
    ("termination_protection = true", "", "termination_protection: missing"),
    ('mode = "real-time"', "", "hosting.mode: missing"),
    ("step_percent = 25", "percent = 10", "hosting.rollout.step_percent: missing"),
    ("max_instances = 8", "max_instances = 8\nmin_instances = 1", "hosting.scaling.min_instances: unknown"),
    ("instance_count = 4", "instance_count = 4\nmemory_mb = 2048", "hosting.memory_mb: unknown key"),
    ("[monitoring.golden_canary]", "[monitoring.canary]", "monitoring.canary: unknown key"),
    ("[hosting.network]", "[hosting.vpc]", "hosting.vpc: unknown key"),
]  # fmt: skip
# The same, for settings that are each valid but not together.
RULES: list[Mistake] = [
    ('auth = "iam"', 'auth = "none"', "auth = 'none': open to everyone"),
    ("ml.m7i.xlarge", "ml.m5d.xlarge", "customer_key = True: SageMaker cannot encrypt"),
    ("ml.m7i.xlarge", "ml.g5.xlarge", "customer_key = True: SageMaker cannot encrypt"),
    ("instance_count = 4", "instance_count = 1", "hosting.instance_count = 1: a linear rollout needs"),
    ("max_instances = 8", "max_instances = 3", "hosting.scaling.max_instances = 3: below instance_count"),
    ("instances = 2", "instances = 4", "hosting.scaling.off_hours.instances = 4: saves nothing"),
    ("instances = 2", "instances = 1", "hosting.scaling.off_hours.instances = 1: a linear rollout needs"),
    ('end = "06:00"', 'end = "20:30"', "hosting.scaling.off_hours.end = '20:30': off hours end when they"),
    (
        "step_percent = 25\nbake_seconds = 300", "step_percent = 10\nbake_seconds = 3000",
        "hosting.rollout.bake_seconds = 3000: 10 steps of it exceed",
    ),
    ('region = "eu-west-1"', 'local = true\nregion = "eu-west-1"', "account = '123456789012': local"),
    ('auth = "iam"', 'auth = "iam"\nsign_in = {}', "sign_in = {}: only for auth"),
    (
        'auth = "iam"', 'auth = "cognito"\nsign_in.local_address = "http://localhost:1"',
        "sign_in.local_address = 'http://localhost:1': only for local",
    ),
    (
        LINEAR, 'strategy = "all-at-once"\nlatency_alarm_ms = 800\nold_fleet_wait_seconds = 179\n',
        "hosting.rollout.old_fleet_wait_seconds = 179: latency_alarm_ms needs 180 seconds",
    ),
]  # fmt: skip
# The same, with dev.toml.
SERVERLESS_FIELDS: list[Mistake] = [
    ("memory_mb = 2048", "memory_mb = 2000", "hosting.memory_mb = 2000"),
    ("max_concurrency = 5", "max_concurrency = 201", "hosting.max_concurrency = 201"),
    ("max_concurrency = 5", "max_concurrency = 5\ninstance_count = 1", "hosting.instance_count: unknown"),
    ("max_concurrency = 5", "max_concurrency = 5\nnetwork = {}", "hosting.network: unknown key"),
    ("eu-west-1", "cn-north-1", "hosting.mode = 'serverless': SageMaker does not offer it in cn-north-1"),
]  # fmt: skip


def refusal(folder: Path, written: str) -> list[str]:
    (folder / "stage.toml").write_text(written)
    with pytest.raises(SettingsError) as error:
        config.load("stage", folder=folder)
    assert error.value.source == folder / "stage.toml"
    return error.value.problems


def replaced(written: str, part: str, replacement: str) -> str:
    assert part in written
    return written.replace(part, replacement, 1)


@pytest.mark.parametrize(
    ("written", "part", "replacement", "line"),
    [*((FULL, *each) for each in FIELDS + RULES), *((SERVERLESS, *each) for each in SERVERLESS_FIELDS)],
    ids=itertools.count(),
)
def test_a_wrong_setting_is_reported(
    tmp_path: Path, written: str, part: str, replacement: str, line: str
) -> None:
    problems = refusal(tmp_path, replaced(written, part, replacement))
    assert [problem for problem in problems if problem.startswith(line)], problems


@pytest.mark.parametrize(("part", "replacement", "line"), RULES)
def test_a_broken_rule_is_reported_beside_other_errors(
    tmp_path: Path, part: str, replacement: str, line: str
) -> None:
    # Given a file that breaks a rule and has errors in the same tables and in others
    written = replaced(replaced(FULL, part, replacement), "expire_days = 30", "expire_days = 0")
    written = replaced(
        replaced(written, "burst = 100", "burst = 0"), "[throttle]", "[hosting.vpc]\n[throttle]"
    )
    # When it is read, Then all of them are in the report
    problems = refusal(tmp_path, written)
    for start in (line, "hosting.data_capture.expire_days = 0", "throttle.burst = 0", "hosting.vpc: unknown"):
        assert [problem for problem in problems if problem.startswith(start)], problems


def test_a_rule_is_not_checked_with_an_invalid_setting(tmp_path: Path) -> None:
    written = replaced(FULL, "instance_count = 4", 'instance_count = "four"')
    (problem,) = refusal(tmp_path, replaced(written, "max_instances = 8", "max_instances = 3"))
    assert problem.startswith("hosting.instance_count = 'four'")


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_key_is_reported_with_its_new_name(tmp_path: Path, old: str) -> None:
    written = FULL.replace('region = "eu-west-1"', f'region = "eu-west-1"\n{old}.of_before = 1', 1)
    problems = refusal(tmp_path, written.replace("[monitoring]", "[other]", 1))
    assert f"{old}: was renamed; write {RENAMED[old]}" in problems
    assert not [problem for problem in problems if problem.startswith(f"{old}: unknown key")]


@pytest.mark.parametrize(
    ("part", "unusual"),
    [
        # x86 families that look like Arm's
        *(("ml.m7i.xlarge", type_) for type_ in ("ml.g5.xlarge", "ml.g4dn.xlarge", "ml.m7i-flex.large")),
        ("ml.m7i.xlarge", "ml.t2.medium"),
        ("eu-west-1", "eusc-de-east-1"),  # the European sovereign cloud
    ],
)
def test_an_unusual_value_is_accepted(tmp_path: Path, part: str, unusual: str) -> None:
    written = replaced(FULL, part, unusual).replace("customer_key = true\n", "")
    (tmp_path / "stage.toml").write_text(written)
    assert unusual in str(config.load("stage", folder=tmp_path))


def test_a_local_environment_may_be_open_and_belongs_to_the_emulator(tmp_path: Path) -> None:
    written = replaced(FULL, 'account = "123456789012"\nauth = "iam"', 'local = true\nauth = "none"')
    (tmp_path / "stage.toml").write_text(written)
    settings = config.load("stage", folder=tmp_path)
    assert (settings.auth, settings.account, settings.stack_account) == ("none", None, "000000000000")


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (problem,) = refusal(tmp_path, "region = ]")
    assert problem.startswith("not TOML")
    assert "line 1" in problem
    (tmp_path / "mine.toml").write_bytes(b'region = "eu-\xff"')
    with pytest.raises(SettingsError, match=r"(?s)mine\.toml .*not UTF-8.* at byte 13"):
        config.load("mine", folder=tmp_path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        config.load("folder", folder=tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    for path in (ENVIRONMENTS / "dev.toml", PRICES, RELEASE):
        (tmp_path / path.name).write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert config.load("dev", folder=tmp_path) == config.load("dev")
    assert read_prices(tmp_path / PRICES.name) == read_prices()
    assert release.load(tmp_path / RELEASE.name) == release.load(RELEASE)


def test_an_environment_name_that_makes_no_bucket_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pre_Production.toml").write_text(FULL)
    with pytest.raises(SettingsError, match="environment = 'Pre_Production'"):
        config.load("Pre_Production", folder=tmp_path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("context", "report"),
    [
        (
            {"env": "absent"},
            "absent.toml cannot be used:\n  - no such environment; there are dev, local, prod",
        ),
        ({"env": "dev", "release": str(RELEASE)}, "prod.json cannot be used:\n  - environment = 'prod'"),
    ],
)
def test_a_mistake_is_a_report_and_not_a_stack_trace(context: dict[str, str], report: str) -> None:
    command = [sys.executable, "-m", "infra.app"]
    environment = {"CDK_CONTEXT_JSON": json.dumps(context)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert report in done.stderr
    assert "Traceback" not in done.stderr
