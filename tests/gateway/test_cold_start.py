"""A cold start imports little, and an invalid environment fails it with every error in one message."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra.constructs.python_function import stage
from infra.lambdas.gateway import settings
from tests.gateway.conftest import MODEL
from tests.gateway.test_auth import SIGN_IN

if TYPE_CHECKING:
    from pathlib import Path

MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"
CLIENT = "from botocore.session import Session; Session().create_client('sagemaker-runtime')"
# Small modules of the standard library that the handler adds to botocore's own.
SMALL = {"binascii", "dataclasses", "email", "gateway", "sagemaker"}
GOOD = {"ENDPOINT_NAME": "tumor-detector-dev-serverless", "MODEL": json.dumps(MODEL), "AUTH": "api_key"}


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


def signing_in(**members: object) -> dict[str, str]:
    return {"AUTH": "cognito", "SIGN_IN": json.dumps({**SIGN_IN, **members})}


def test_people_sign_in_only_with_cognito() -> None:
    environment = {**GOOD, "SIGN_IN": json.dumps(SIGN_IN)}
    assert settings.read(environment).sign_in is None
    assert settings.read({**environment, "AUTH": "cognito"}).sign_in == settings.SignIn(**SIGN_IN)


@pytest.mark.parametrize("origin", ["https://example.org:8443", ""])
def test_the_origin_is_optional(origin: str) -> None:
    assert settings.read({**GOOD, "ALLOWED_ORIGIN": origin}).allowed_origin == (origin or None)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ENDPOINT_NAME": ""}, ["ENDPOINT_NAME"]),
        ({"MODEL": "{"}, ["MODEL"]),
        ({"MODEL": "[]"}, ["MODEL"]),
        ({"MODEL": json.dumps({**MODEL, "version": 3, "kind": "other"})}, ["MODEL", "version", "kind"]),
        ({"MODEL": json.dumps({**MODEL, "gates_failed": "none"})}, ["MODEL", "gates_failed"]),
        ({"MODEL": json.dumps({**MODEL, "forced": True})}, ["MODEL", "forced"]),
        ({"ALLOWED_ORIGIN": "*"}, ["ALLOWED_ORIGIN"]),
        ({"ALLOWED_ORIGIN": "https://example.org/"}, ["ALLOWED_ORIGIN"]),
        ({"ALLOWED_ORIGIN": "https://example.org;script-src"}, ["ALLOWED_ORIGIN"]),
        ({"AUTH": ""}, ["AUTH", "cognito"]),
        ({"AUTH": "password"}, ["AUTH", "'password'"]),
        ({"AUTH": "cognito"}, ["SIGN_IN", "address", "client_id", "scope"]),
        ({"AUTH": "cognito", "SIGN_IN": "[]"}, ["SIGN_IN", "address"]),
        (signing_in(scope='"><script>'), ["SIGN_IN", "scope"]),
        (signing_in(client_id=7), ["SIGN_IN", "client_id"]),
        (signing_in(address="https://a.example; script-src *"), ["SIGN_IN", "address"]),
        (
            {"ENDPOINT_NAME": "", "MODEL": "{}", "ALLOWED_ORIGIN": "x", "AUTH": "x"},
            ["ENDPOINT_NAME", "name", "sha256", "ALLOWED_ORIGIN", "AUTH"],
        ),
    ],
)
def test_each_error_is_named(wrong: dict[str, str], named: list[str]) -> None:
    with pytest.raises(settings.SettingsError) as raised:
        settings.read({**GOOD, **wrong})
    assert all(name in str(raised.value) for name in named)
