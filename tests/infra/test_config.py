"""Wrong settings are refused with every problem in one report, and no stack trace."""

from __future__ import annotations

import codecs
import itertools
import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from infra import config, release
from infra.config import SettingsError
from infra.paths import ENVIRONMENTS, ROOT
from scripts.commands.cost import PRICES, read_prices
from tests.infra.synthesis import FULL, QUEUED, RELEASE

if TYPE_CHECKING:
    from pathlib import Path

SERVERLESS = (ENVIRONMENTS / "dev.toml").read_text()
# Of a part of a settings file, its replacement, and the start of the report's line about it.
MISTAKES = tomllib.loads((ROOT / "tests" / "fixtures" / "mistakes.toml").read_text())


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
    [
        *((FULL, *each) for each in MISTAKES["fields"] + MISTAKES["rules"]),
        *((SERVERLESS, *each) for each in MISTAKES["serverless"]),
        *((QUEUED, *each) for each in MISTAKES["queued"]),
    ],
    ids=itertools.count(),
)
def test_a_wrong_setting_is_reported(
    tmp_path: Path, written: str, part: str, replacement: str, line: str
) -> None:
    problems = refusal(tmp_path, replaced(written, part, replacement))
    assert [problem for problem in problems if problem.startswith(line)], problems


@pytest.mark.parametrize(("part", "replacement", "line"), MISTAKES["rules"])
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
