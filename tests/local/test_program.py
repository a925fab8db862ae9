"""The process form with the serving image's own program and a real, tiny model."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from infra.local import LocalAws
from model import phantom
from tests.local.cloud import Cloud
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, str]]:
    """A laptop's AWS, and the name of its endpoint, whose model says YES and refuses what is bright."""
    folder = tmp_path_factory.mktemp("program")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(make_model_dir(folder / "model", says=4.0, brain=4.0), arcname=".")
    with LocalAws(port=0, engine="process") as aws:
        cloud = Cloud(aws)
        url = cloud.upload((folder / "model.tar.gz").read_bytes())
        yield cloud, cloud.endpoint(cloud.config(artifact=url))


def test_classifies_an_image(endpoint: tuple[Cloud, str]) -> None:
    cloud, name = endpoint
    answer = cloud.runtime.invoke_endpoint(
        EndpointName=name,
        Body=phantom.png(seed=1, lesion=True),
        ContentType="image/png",
        CustomAttributes="heatmap=true",
    )
    prediction = json.loads(answer["Body"].read())
    assert prediction["label"] == "YES"
    assert prediction["heatmap"]


def test_refuses_a_text_as_its_own_problem(endpoint: tuple[Cloud, str]) -> None:
    cloud, name = endpoint
    with pytest.raises(cloud.runtime.exceptions.ModelError) as caught:
        cloud.runtime.invoke_endpoint(EndpointName=name, Body=b"no image", ContentType="image/png")
    response: Any = caught.value.response
    problem = json.loads(response["OriginalMessage"])
    assert problem["status"] == response["OriginalStatusCode"] == 415


def test_a_refusals_score_travels_with_its_problem(endpoint: tuple[Cloud, str]) -> None:
    cloud, name = endpoint
    bright = io.BytesIO()
    # Mostly white: black and white themselves are what the grey levels are stretched to.
    Image.linear_gradient("L").point(lambda level: min(255, 3 * level)).save(bright, "PNG")
    with pytest.raises(cloud.runtime.exceptions.ModelError) as caught:
        cloud.runtime.invoke_endpoint(EndpointName=name, Body=bright.getvalue(), ContentType="image/png")
    response: Any = caught.value.response
    problem = json.loads(response["OriginalMessage"])
    assert problem["status"] == response["OriginalStatusCode"] == 422
    assert 0 <= problem["score"] < problem["score_threshold"] == 0.5
