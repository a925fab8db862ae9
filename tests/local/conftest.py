"""One laptop's AWS for most tests of it; its endpoints run the stand-in server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.local import LocalAws
from tests.local.cloud import FAKE_SERVER, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    log = tmp_path_factory.mktemp("laptop") / "aws.log"
    with LocalAws(port=0, engine="process", log=log, program=[str(FAKE_SERVER)]) as aws:
        yield Cloud(aws)
