"""Every template as it was reviewed: a change that nobody meant is seen in the snapshot's diff.

After a change that was meant, write them anew and read `git diff tests/infra/snapshots`:
`TUMOR_UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/infra/test_snapshots.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import ENVIRONMENTS, ROOT, normalised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.infra.synthesis import Assembly

SNAPSHOTS = ROOT / "tests" / "infra" / "snapshots"


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
