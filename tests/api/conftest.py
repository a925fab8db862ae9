"""A fake gateway for the clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.fake_gateway import FakeGateway

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().running() as fake:
        yield fake
