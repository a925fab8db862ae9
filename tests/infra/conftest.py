"""Every environment is synthesized once per session, with a release and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra import release as release_module
from tests.infra.synthesis import (
    ENVIRONMENTS,
    FIXTURE_ENVIRONMENTS,
    FULL,
    Assembly,
    record_for,
    shadow_for,
    synthesize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Assembly]:
    """Each environment with the fixture release, by name."""
    folder = tmp_path_factory.mktemp("released")
    return {name: synthesize(name, folder / name, release=record_for(name, folder)) for name in ENVIRONMENTS}


@pytest.fixture(scope="session")
def unreleased(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Assembly]:
    """Each environment before its first promotion, by name."""
    folder = tmp_path_factory.mktemp("unreleased")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_module, "RELEASES", folder / "no-releases")
        return {name: synthesize(name, folder / name, release=None) for name in ENVIRONMENTS}


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """An environment with every optional part of the settings, which none of ours has."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "full.toml").write_text(FULL + shadow_for("full", folder))
    return synthesize("full", folder / "out", release=record_for("full", folder), environments=folder)


@pytest.fixture(scope="session")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """An environment with asynchronous hosting and all that goes with it, which none of ours has."""
    folder = tmp_path_factory.mktemp("queued")
    record = record_for("queued", folder)
    return synthesize("queued", folder / "out", release=record, environments=FIXTURE_ENVIRONMENTS)


@pytest.fixture(params=ENVIRONMENTS)
def assembly(request: pytest.FixtureRequest, assemblies: Mapping[str, Assembly]) -> Assembly:
    """One environment after the other."""
    return assemblies[request.param]


@pytest.fixture
def local(assemblies: Mapping[str, Assembly]) -> Assembly:
    return assemblies["local"]


@pytest.fixture
def dev(assemblies: Mapping[str, Assembly]) -> Assembly:
    return assemblies["dev"]


@pytest.fixture
def prod(assemblies: Mapping[str, Assembly]) -> Assembly:
    return assemblies["prod"]
