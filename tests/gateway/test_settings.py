"""A wrong environment stops the cold start and names every fault at once."""

from __future__ import annotations

import json

import pytest

import settings
from access import Access, SignIn
from tests.gateway.conftest import MODEL

GOOD = {"ENDPOINT_NAME": "tumor-detector-dev-serverless", "MODEL": json.dumps(MODEL), "AUTH": "api_key"}

SIGN_IN = {
    "address": "https://people.auth.eu-west-1.amazoncognito.com",
    "client_id": "1a2b",
    "scope": "t/predict",
}


def test_people_sign_in_only_with_cognito() -> None:
    told = {**GOOD, "SIGN_IN": json.dumps(SIGN_IN), "AWS_REGION": "eu-west-1"}

    assert settings.read(told).access == Access("api_key", region="eu-west-1")
    assert settings.read({**told, "AUTH": "cognito"}).access.sign_in == SignIn(**SIGN_IN)


def test_a_good_environment_is_read() -> None:
    read = settings.read({**GOOD, "ALLOWED_ORIGIN": "https://example.org:8443"})

    assert read.endpoint_name == "tumor-detector-dev-serverless"
    assert read.model == settings.Model("tumor-detector", "3", "ab" * 32, "images", ())
    assert read.allowed_origin == "https://example.org:8443"


def test_a_forced_model_brings_its_reason() -> None:
    assert (
        settings.read({**GOOD, "MODEL": json.dumps({**MODEL, "forced": "a vote"})}).model.forced == "a vote"
    )


@pytest.mark.parametrize("origin", [{}, {"ALLOWED_ORIGIN": ""}])
def test_no_origin_is_no_origin(origin: dict[str, str]) -> None:
    assert settings.read({**GOOD, **origin}).allowed_origin is None


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
        ({"AUTH": "cognito", "SIGN_IN": json.dumps({**SIGN_IN, "client_id": 7})}, ["SIGN_IN", "client_id"]),
        (
            {
                "AUTH": "cognito",
                "SIGN_IN": json.dumps({**SIGN_IN, "address": "https://a.example; script-src *"}),
            },
            ["SIGN_IN", "address"],
        ),
        (
            {"ENDPOINT_NAME": "", "MODEL": "{}", "ALLOWED_ORIGIN": "x", "AUTH": "x"},
            ["ENDPOINT_NAME", "name", "sha256", "ALLOWED_ORIGIN", "AUTH"],
        ),
    ],
)
def test_each_fault_is_named(wrong: dict[str, str], named: list[str]) -> None:
    with pytest.raises(settings.SettingsError) as raised:
        settings.read({**GOOD, **wrong})

    assert all(name in str(raised.value) for name in named)
