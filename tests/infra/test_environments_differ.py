"""Environments differ in what their files say, and in their names: no line of the code knows one of them."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING

import pytest

from infra import config, names
from infra.release import card_path
from tests.infra.synthesis import ENVIRONMENTS, RELEASES, Assembly, normalised, synthesize

if TYPE_CHECKING:
    from collections.abc import Mapping

TWIN = "twin"
_HASH = re.compile(r"[0-9A-F]{8}")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def pair(
    request: pytest.FixtureRequest,
    assemblies: Mapping[str, Assembly],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Assembly, Assembly]:
    """An environment, and another whose file says the same and whose release is the same."""
    first: str = request.param
    folder = tmp_path_factory.mktemp(f"{TWIN}-of-{first}")
    (folder / f"{TWIN}.toml").write_text((config.ENVIRONMENTS / f"{first}.toml").read_text())
    released = json.loads((RELEASES / f"{first}.json").read_text())
    record = folder / f"{TWIN}.json"
    record.write_text(json.dumps(released | {"environment": TWIN}))
    sha256 = released["model"]["sha256"]
    card = card_path(RELEASES / f"{first}.json", sha256=sha256).read_text()
    card_path(record, sha256=sha256).write_text(card)
    twin = synthesize(TWIN, folder / "out", release=record, environments=folder)
    return assemblies[first], twin


def test_the_same_file_under_another_name_gives_the_same_templates(pair: tuple[Assembly, Assembly]) -> None:
    ours, twins = (named_alike(assembly).splitlines() for assembly in pair)
    assert list(difflib.unified_diff(ours, twins, lineterm="", n=0)) == []


def test_the_same_file_under_another_name_is_protected_alike_and_goes_to_the_same_place(
    pair: tuple[Assembly, Assembly],
) -> None:
    ours, twins = (placed(assembly) for assembly in pair)
    assert ours
    assert ours == twins


def named_alike(assembly: Assembly) -> str:
    """Return the templates with one name for the environment, which the project's always stands before.

    The CDK makes some logical ids of such names without their hyphens, and adds hashes of them.
    """
    written = re.sub(rf"({names.PROJECT}[-/ ]){assembly.environment}\b", r"\1NAME", normalised(assembly))
    run_together = names.PROJECT.replace("-", "") + assembly.environment
    ids = re.compile(rf"{run_together}\w*")
    return ids.sub(lambda found: _HASH.sub("HASH", found[0].replace(run_together, "NAME")), written)


def placed(assembly: Assembly) -> dict[str, tuple[str, bool]]:
    """Return where each stack goes, and whether nobody can delete it, by the last part of its name."""
    artifacts = assembly.json("manifest.json")["artifacts"]
    prefix = names.stack_prefix(assembly.environment)
    return {
        name.removeprefix(prefix): (
            each["environment"],
            each["properties"].get("terminationProtection", False),
        )
        for name, each in artifacts.items()
        if each["type"] == "aws:cloudformation:stack"
    }
