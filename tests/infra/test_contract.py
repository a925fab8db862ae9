"""Container, gateway, its document and the REST API state the contract each for itself: they must agree.

The Lambda can import nothing of the container, so what an image may be is written down more than once.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from container import limits, server
from container.refusal import unlike_a_brain
from infra.constructs.api import BINARY_MEDIA_TYPES
from tests.infra.synthesis import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

GATEWAY = ROOT / "infra" / "gateway"
MEGAPIXEL = 1_000_000


def of_the_lambda(name: str) -> ModuleType:
    """One of the Lambda's files; they import each other flat, and last, so that they shadow nothing."""
    if str(GATEWAY) not in sys.path:
        sys.path.append(str(GATEWAY))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def upload() -> ModuleType:
    """The Lambda's rules."""
    return of_the_lambda("upload")


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    loaded: dict[str, Any] = json.loads((GATEWAY / "openapi.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def accepted(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What POST /predict takes, by media type."""
    content: dict[str, Any] = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    return content


def test_an_image_may_be_as_large_everywhere(upload: ModuleType, document: Mapping[str, Any]) -> None:
    image = document["components"]["schemas"]["Image"]
    assert limits.MAX_IMAGE_BYTES == upload.MAX_IMAGE_BYTES == image["maxLength"]
    (megapixels,) = re.findall(r"(\d+) megapixels", image["description"])
    assert int(megapixels) * MEGAPIXEL == limits.MAX_IMAGE_PIXELS


def test_an_image_has_the_same_media_types_everywhere(
    upload: ModuleType, accepted: Mapping[str, Any]
) -> None:
    of_a_form = accepted[upload.FORM_TYPE]["encoding"][upload.FORM_FIELD]["contentType"].split(", ")
    as_a_body = set(accepted) - {upload.FORM_TYPE}
    assert set(server.MEDIA_TYPES) == set(upload.IMAGE_TYPES) == set(of_a_form) == as_a_body


def test_a_refusals_scores_have_the_same_names_everywhere(document: Mapping[str, Any]) -> None:
    refusal = unlike_a_brain(score=0.02, threshold=0.37)
    documented = document["components"]["schemas"]["Problem"]
    assert refusal.extensions.keys() == set(of_the_lambda("faults").SCORES)
    assert refusal.extensions.keys() <= documented["properties"].keys() - set(documented["required"])


def test_api_gateway_keeps_the_bytes_of_all_that_is_accepted(accepted: Mapping[str, Any]) -> None:
    assert set(BINARY_MEDIA_TYPES) == set(accepted)
