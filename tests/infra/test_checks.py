"""The templates pass cdk-nag, with a reason for each acknowledged finding, and cfn-lint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.infra.synthesis import Assembly, Json, Template

# The regions to lint for: add that of a new environment.
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
# The CDK declares the dependencies of functions and models twice, by reference and by DependsOn.
REDUNDANT_DEPENDENCY = "W3005"


@pytest.fixture
def every(
    assemblies: Mapping[str, Assembly], unreleased: Mapping[str, Assembly], full: Assembly
) -> list[Assembly]:
    return [*assemblies.values(), *unreleased.values(), full]


def metadata(assembly: Assembly, *types: str) -> Iterator[tuple[str, Json]]:
    """Yield the entries of these types, each with the construct that declares it."""
    for path in assembly.folder.glob("*.metadata.json"):
        for construct, entries in assembly.json(path.name).items():
            yield from ((construct.removeprefix("/"), each) for each in entries if each["type"] in types)


def acknowledgements(assembly: Assembly) -> Iterator[tuple[str, str, str]]:
    """Yield where each acknowledgement is declared, its id and its reason."""
    for construct, entry in metadata(assembly, "aws:cdk:acknowledged-rules"):
        yield from ((construct, id_, reason) for id_, reason in entry["data"].items())


def reported(assembly: Assembly, kind: str) -> list[Json]:
    """Return the entries of one kind of every report of cdk-nag."""
    reports = assembly.json("validation-report.json")["pluginReports"]
    return [entry for report in reports for entry in report.get(kind, [])]


def test_there_is_no_finding_without_a_reason(every: list[Assembly]) -> None:
    for assembly in every:
        assert reported(assembly, "violations") == []


def test_a_strict_synth_has_no_warning(every: list[Assembly]) -> None:
    for assembly in every:
        assert [*metadata(assembly, "aws:cdk:warning", "aws:cdk:error")] == []


def test_every_acknowledgement_is_used(every: list[Assembly]) -> None:
    for assembly in every:
        suppressed = reported(assembly, "suppressedViolations")
        used = {(row["acknowledgedAt"], row["acknowledgedId"]) for row in suppressed}
        assert used
        assert {(construct, id_) for construct, id_, _ in acknowledgements(assembly)} == used
        assert [reason for _, _, reason in acknowledgements(assembly) if len(reason.split()) < 5] == []


def test_our_environments_regions_are_among_those_that_are_linted() -> None:
    assert {config.load(environment).region for environment in config.known_environments()} <= set(REGIONS)


@pytest.mark.slow
def test_cfn_lint_is_clean_in_every_region(assemblies: Mapping[str, Assembly], full: Assembly) -> None:
    for assembly in (*assemblies.values(), full):
        lint(*assembly.templates())


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
