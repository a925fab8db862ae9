"""The image as an artifact: what it declares, what it holds, how large it is, and how it is built again."""

from __future__ import annotations

import json
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from infra.local import LocalAws
from tests.docker_engine import docker, find_base_image
from tests.local.cloud import Cloud

from .containers import build, inspect, run_python
from .serving import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 60_000_000  # of the layers above the base, as a registry keeps and sends them
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"  # the only kind that SageMaker surely takes
OCI = "org.opencontainers.image"
COMPILED = """
import marshal, pathlib
for place in ("/opt/program", "/opt/packages"):
    for source in pathlib.Path(place).rglob("*.py"):
        compiled = source.parent / "__pycache__" / (source.stem + ".cpython-311.pyc")
        data = compiled.read_bytes()
        assert data[4:8] == b"\\x01\\0\\0\\0", f"{compiled}: not trusted without a look at the source"
        assert marshal.loads(data[16:]).co_filename == str(source), compiled
print("all")
"""


@pytest.fixture(scope="module")
def pushed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The image in the laptop's ECR, as that describes it."""
    log = tmp_path_factory.mktemp("push") / "aws.log"
    with LocalAws(port=0, engine="docker", log=log) as aws:
        ecr = Cloud(aws).ecr
        uri = ecr.create_repository(repositoryName="pushed")["repository"]["repositoryUri"]
        docker("tag", image, f"{uri}:v1")
        try:
            docker("push", "--quiet", f"{uri}:v1")
        finally:
            docker("image", "rm", f"{uri}:v1")
        [kept] = ecr.batch_get_image(repositoryName="pushed", imageIds=[{"imageTag": "v1"}])["images"]
        yield {**kept}


def test_the_layers_above_the_base_are_small(pushed: dict[str, Any], image: str) -> None:
    below = inspect(find_base_image())["RootFS"]["Layers"]
    layers = inspect(image)["RootFS"]["Layers"]
    sizes = [layer["size"] for layer in json.loads(pushed["imageManifest"])["layers"]]
    assert layers[: len(below)] == below
    assert len(sizes) == len(layers)
    assert sum(sizes[len(below) :]) <= MOST_BYTES, f"layers of {sizes} bytes, {len(below)} of them the base's"


def test_the_pushed_manifest_is_of_docker_v2(pushed: dict[str, Any]) -> None:
    assert pushed["imageManifestMediaType"] == MANIFEST
    assert json.loads(pushed["imageManifest"])["mediaType"] == MANIFEST


def test_a_changed_line_of_the_server_is_built_again_without_the_packages(
    image: str, context: Path, tmp_path: Path
) -> None:
    # Given the sources with one line more
    edited = shutil.copytree(context, tmp_path / "container")
    with (edited / "server.py").open("a") as server:
        server.write("CHANGED = True\n")
    # When they are built
    changed = build(f"{image}:changed", edited)
    try:
        # Then all layers but the last are those that were there, built when they were
        before, after = inspect(image)["RootFS"]["Layers"], inspect(changed)["RootFS"]["Layers"]
        assert after[:-1] == before[:-1]
        assert after[-1] != before[-1]
        assert large_steps(changed) == large_steps(image)
    finally:
        docker("image", "rm", changed)


def large_steps(image: str) -> list[dict[str, str]]:
    """The steps that gave an image the most of its size: what each was and when it ran."""
    lines = docker("history", "--no-trunc", "--human=false", "--format={{json .}}", image).splitlines()
    steps = [dict(json.loads(line)) | {"ID": "any"} for line in lines]
    large = [step for step in steps if int(step["Size"]) > 10**6]
    assert len(large) >= 2, "the packages, and the base"
    return large


def test_it_declares_what_sagemaker_and_a_reader_look_for(image: str) -> None:
    described = inspect(image)
    config = described["Config"]
    assert (described["Os"], described["Architecture"]) == ("linux", "amd64")
    assert config["Entrypoint"] == ["python3", "-m", "container"]  # exec form: it gets the signals itself
    assert config["Cmd"] == ["serve"]
    assert config["User"] == "10001:10001"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert config["Healthcheck"]["Test"][0] == "CMD"  # exec form too: no shell


def test_its_labels_say_what_is_known_and_nothing_else(image: str) -> None:
    labels = inspect(image)["Config"]["Labels"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    described = labels.pop(f"{OCI}.description")
    assert "Not a medical device" in described
    assert labels == {
        f"{OCI}.title": project["name"],
        f"{OCI}.version": project["version"],
        f"{OCI}.revision": "",
        f"{OCI}.base.name": find_base_image(),
        "tumor-detector.sbom": "/opt/sbom.cdx.json",
        "com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true",
    }


def test_a_revision_changes_its_label_and_no_layer(image: str, context: Path) -> None:
    revised = build(f"{image}:revised", context, REVISION="abc123")
    try:
        assert inspect(revised)["Config"]["Labels"][f"{OCI}.revision"] == "abc123"
        assert inspect(revised)["RootFS"] == inspect(image)["RootFS"]
    finally:
        docker("image", "rm", revised)


def test_everything_is_compiled_for_where_it_lies(image: str) -> None:
    assert run_python(image, COMPILED) == "all"


def test_it_holds_the_program_and_nothing_to_install_or_train_with(image: str, context: Path) -> None:
    listing = run_python(image, "import os; print(*os.listdir('/opt/program/container'))")
    sources = {path.name for path in context.glob("*.py")}
    assert set(listing.split()) == {*sources, "__pycache__"}
    packages = set(run_python(image, "import os; print(*os.listdir('/opt/packages'))").split())
    assert packages.isdisjoint({"pip", "tensorflow", "keras", "mlflow", "boto3", "bin"})
    assert {"ai_edge_litert", "numpy", "PIL", "uvicorn"} <= packages


def test_no_file_has_a_time_or_a_mode_of_the_machine_that_built_it(image: str) -> None:
    """So the same sources are the same layers wherever they are built, and are pushed and pulled once."""
    code = """
import os
for place, folders, files in os.walk("/opt"):
    for path in [place, *(os.path.join(place, file) for file in files)]:
        status = os.lstat(path)
        assert status.st_mtime == 0, path
        assert status.st_uid == status.st_gid == 0, path
        assert status.st_mode & 0o777 in (0o755, 0o644), path
print("all")
"""
    assert run_python(image, code) == "all"
