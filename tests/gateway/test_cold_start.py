"""A cold start imports little, and fails where labels or predictions could not be kept."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra.constructs.python_function import stage
from infra.lambdas.gateway import settings
from tests.gateway.conftest import MODEL

if TYPE_CHECKING:
    from pathlib import Path

MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"
CLIENT = "from botocore.session import Session; Session().create_client('sagemaker-runtime')"
# Small modules of the standard library that the handler adds to botocore's own.
SMALL = {"binascii", "dataclasses", "email", "gateway", "sagemaker"}


def modules(code: str, *, environment: dict[str, str], folder: Path) -> set[str]:
    """Return the modules that a fresh interpreter has imported after some code."""
    command = [sys.executable, "-B", "-c", f"{code}; {MODULES}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_staged_package_imports_nothing_of_weight(environment: dict[str, str], tmp_path: Path) -> None:
    asset = stage("gateway", {"site/page.html": "the page"}, tmp_path)
    client = modules(CLIENT, environment=environment, folder=tmp_path)
    handler = modules("import gateway.handler", environment=environment, folder=tmp_path / "asset")
    assert asset == str(tmp_path / "asset")
    assert "gateway.handler" in handler
    assert {name.partition(".")[0] for name in handler - client} <= SMALL
    assert "boto3" not in handler


@pytest.mark.parametrize("alone", ["REQUEST_ID_KEY", "LABEL_BUCKET", "ASYNC_BUCKET"])
def test_the_key_of_request_ids_comes_with_a_bucket(alone: str) -> None:
    given = {"ENDPOINT_NAME": "any", "MODEL": json.dumps(MODEL), "AUTH": "none"}
    assert settings.read(given).request_id_key is None
    with pytest.raises(ValueError, match="REQUEST_ID_KEY belongs to"):
        settings.read({**given, alone: "any"})
