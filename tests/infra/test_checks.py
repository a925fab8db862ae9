"""What AWS's own rules say about the templates: cdk-nag with reasons on record, and cfn-lint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.infra.synthesis import Assembly, Template

# Where an environment is meant to go: whoever writes another region in a settings file adds it here.
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
# The CDK says what a function and a model depend on twice over: by reference and by DependsOn.
REDUNDANT_DEPENDENCY = "W3005"


def every(*groups: Mapping[str, Assembly]) -> list[Assembly]:
    return [assembly for group in groups for assembly in group.values()]


def declared(assembly: Assembly) -> Iterator[tuple[str, str, str]]:
    """Yield where each acknowledgement is declared, its id and its reason."""
    for path in assembly.folder.glob("*.metadata.json"):
        for construct, entries in assembly.json(path.name).items():
            for entry in entries:
                if entry["type"] == "aws:cdk:acknowledged-rules":
                    for id_, reason in entry["data"].items():
                        yield construct.removeprefix("/"), id_, reason


def test_there_is_no_finding_without_a_reason(
    assemblies: Mapping[str, Assembly], unreleased: Mapping[str, Assembly], full: Assembly
) -> None:
    for assembly in [*every(assemblies, unreleased), full]:
        reports = assembly.json("validation-report.json")["pluginReports"]
        assert [violation for report in reports for violation in report["violations"]] == []


def test_no_synth_says_anything_that_a_strict_one_would_stop_at(
    assemblies: Mapping[str, Assembly], unreleased: Mapping[str, Assembly], full: Assembly
) -> None:
    for assembly in [*every(assemblies, unreleased), full]:
        found = [
            (construct, entry["data"])
            for path in assembly.folder.glob("*.metadata.json")
            for construct, entries in assembly.json(path.name).items()
            for entry in entries
            if entry["type"] in {"aws:cdk:warning", "aws:cdk:error"}
        ]
        assert found == []


def test_every_acknowledgement_is_used(
    assemblies: Mapping[str, Assembly], unreleased: Mapping[str, Assembly], full: Assembly
) -> None:
    for assembly in [*every(assemblies, unreleased), full]:
        reports = assembly.json("validation-report.json")["pluginReports"]
        used = {
            (row["acknowledgedAt"], row["acknowledgedId"])
            for report in reports
            for row in report.get("suppressedViolations", [])
        }
        assert used
        assert {(construct, id_) for construct, id_, _ in declared(assembly)} == used


def test_acknowledgements_keep_their_row_in_the_report(assembly: Assembly) -> None:
    for construct, id_, reason in declared(assembly):
        assert id_.startswith("AwsSolutions::AwsSolutions-"), construct
        assert len(reason.split()) > 4, f"{construct}: {reason}"


def test_our_environments_regions_are_among_those_that_are_linted() -> None:
    assert {config.load(environment).region for environment in config.known_environments()} <= set(REGIONS)


@pytest.mark.parametrize("environment", config.known_environments())
def test_cfn_lint_is_clean_in_every_region(environment: str, assemblies: Mapping[str, Assembly]) -> None:
    lint(*assemblies[environment].templates())


def test_cfn_lint_is_clean_with_every_optional_part(full: Assembly) -> None:
    lint(*full.templates())


def lint(*templates: Template) -> None:
    """Run cfn-lint as if the templates were for each of `REGIONS`: it knows what a region lacks."""
    cfn_lint = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run(
        [
            cfn_lint, "--regions", *REGIONS, "--ignore-checks", REDUNDANT_DEPENDENCY,
            "--template", *(str(template.path) for template in templates),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
