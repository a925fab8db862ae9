"""Every template as it was reviewed: a change that nobody meant is seen in the snapshot's diff.

After a change that was meant, write them anew and read `git diff tests/infra/snapshots`:
`TUMOR_UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/infra/test_snapshots.py`.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import ENVIRONMENTS, ROOT, Assembly

if TYPE_CHECKING:
    from collections.abc import Mapping

SNAPSHOTS = ROOT / "tests" / "infra" / "snapshots"

# Names of assets, and the release's own artifact: 64 hexadecimal digits.
_HASH = re.compile(r"[0-9a-f]{64}")
# The CDK's ends of logical ids, which follow from the constructs' paths, stay: they decide what is replaced.
# One does not: an API's deployment carries a hash of the API itself.
_DEPLOYMENT = re.compile(r"(RestApiDeployment[0-9A-F]{8})[0-9a-f]{32}")


def normalised(assembly: Assembly) -> str:
    """Every template of an environment as one text, without the hashes that any edit of a file changes."""
    templates = {template.path.name.split(".")[0]: template.content for template in assembly.templates()}
    written = json.dumps(templates, indent=1, sort_keys=True) + "\n"
    hashes: dict[str, str] = {}
    for found in _HASH.findall(written):
        hashes.setdefault(found, f"HASH-{len(hashes)}")
    written = _HASH.sub(lambda found: hashes[found.group()], written)
    return _DEPLOYMENT.sub(r"\1HASH", written)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_templates_are_those_that_were_reviewed(
    environment: str, assemblies: Mapping[str, Assembly]
) -> None:
    snapshot = SNAPSHOTS / f"{environment}.json"
    if os.environ.get("TUMOR_UPDATE_SNAPSHOTS"):
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(normalised(assemblies[environment]))
    assert normalised(assemblies[environment]) == snapshot.read_text(), (
        "the templates have changed; see this file's docstring"
    )


def test_no_snapshot_is_of_an_environment_that_is_gone() -> None:
    assert {path.stem for path in SNAPSHOTS.iterdir()} == set(ENVIRONMENTS)
