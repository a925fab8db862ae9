"""The image as an artifact: what it declares and holds, how large it is, and what a rebuild changes."""

from __future__ import annotations

import json
import shutil
import tomllib
from typing import TYPE_CHECKING

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from scripts.dev_tools import lock
from tests.container.containers import build, inspect, run_python
from tests.container.serving import ROOT
from tests.docker_engine import docker, find_base_image

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 135_000_000  # of the layers above the base, about twice what a registry keeps
OCI = "org.opencontainers.image"
DISTRIBUTIONS = """
import importlib.metadata as metadata
print(*{f"{each.metadata['Name']}=={each.version}" for each in metadata.distributions()}, sep="\\n")
"""
UNIFORM = """
import marshal, os, pathlib
for place, folders, files in os.walk("/opt"):
    for path in [place, *(os.path.join(place, file) for file in files)]:
        status = os.lstat(path)
        assert status.st_mtime == 0, path
        assert status.st_uid == status.st_gid == 0, path
        assert status.st_mode & 0o777 in (0o755, 0o644), path
for place in ("/opt/program", "/opt/packages"):
    for source in pathlib.Path(place).rglob("*.py"):
        compiled = source.parent / "__pycache__" / (source.stem + ".cpython-311.pyc")
        data = compiled.read_bytes()
        assert data[4:8] == b"\\x01\\0\\0\\0", f"{compiled}: checked against its source"
        assert marshal.loads(data[16:]).co_filename == str(source), compiled
print("all")
"""


def test_the_layers_above_the_base_are_small(image: str) -> None:
    base, whole = inspect(find_base_image()), inspect(image)
    below = base["RootFS"]["Layers"]
    assert whole["RootFS"]["Layers"][: len(below)] == below
    assert whole["Size"] - base["Size"] <= MAX_BYTES


def test_a_changed_line_of_the_server_is_rebuilt_without_the_packages(
    image: str, context: Path, tmp_path: Path
) -> None:
    # Given the sources with one more line
    edited = shutil.copytree(context, tmp_path / "container")
    with (edited / "server.py").open("a") as server:
        server.write("CHANGED = True\n")
    # When they are built
    changed = build(f"{image}:changed", edited)
    try:
        # Then all layers but the last are unchanged, and were not built again
        before, after = inspect(image)["RootFS"]["Layers"], inspect(changed)["RootFS"]["Layers"]
        assert after[:-1] == before[:-1]
        assert after[-1] != before[-1]
        assert large_steps(changed) == large_steps(image)
    finally:
        docker("image", "rm", changed)


def large_steps(image: str) -> list[dict[str, str]]:
    """Return the steps that made most of an image's size, each with its time."""
    lines = docker("history", "--no-trunc", "--human=false", "--format={{json .}}", image).splitlines()
    steps = [dict(json.loads(line)) | {"ID": "any"} for line in lines]
    large = [step for step in steps if int(step["Size"]) > 10**6]
    assert len(large) >= 2, "the packages, and the base"
    return large


def test_it_declares_its_platform_its_port_and_its_labels(image: str) -> None:
    described = inspect(image)
    config = described["Config"]
    assert (described["Os"], described["Architecture"]) == ("linux", "amd64")
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = config["Labels"]
    assert "Not a medical device" in labels.pop(f"{OCI}.description")
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


def test_it_holds_the_program_and_nothing_to_install_or_train_with(image: str, context: Path) -> None:
    listing = run_python(image, "import os; print(*os.listdir('/opt/program/container'))")
    assert set(listing.split()) == {*(path.name for path in context.glob("*.py")), "__pycache__"}
    packages = set(run_python(image, "import os; print(*os.listdir('/opt/packages'))").split())
    assert packages.isdisjoint({"pip", "tensorflow", "keras", "mlflow", "boto3", "bin"})
    assert {"ai_edge_litert", "numpy", "PIL", "uvicorn"} <= packages


def test_files_have_fixed_times_and_modes_and_are_compiled_for_their_place(image: str) -> None:
    # The same sources then give the same layers wherever they are built.
    assert run_python(image, UNIFORM) == "all"


def test_the_bill_of_materials_is_valid_reproducible_and_names_each_package(image: str) -> None:
    text = run_python(image, "print(open('/opt/sbom.cdx.json').read(), end='')")
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type": "library"', '"type": "book"')) is not None
    document = json.loads(text)
    assert not {"serialNumber", "timestamp"} & {*document, *document["metadata"]}
    components = document["components"]
    named = {f"{each['name']}=={each['version']}" for each in components}
    assert named == set(run_python(image, DISTRIBUTIONS).splitlines())
    assert all(each["purl"].startswith("pkg:pypi/") for each in components)
    versions = {canonicalize_name(each["name"]): each["version"] for each in components}
    assert lock.packages(ROOT / "container/requirements.lock").items() <= versions.items()
