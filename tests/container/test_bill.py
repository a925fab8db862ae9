"""The image's bill of materials: what it lists is what is installed, in valid CycloneDX."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from container.build import bill
from tests.docker_engine import docker

from .containers import inspect, run_python
from .serving import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DISTRIBUTIONS = """
import importlib.metadata as metadata
print(*{f"{each.metadata['Name']}=={each.version}" for each in metadata.distributions()}, sep="\\n")
"""
PACKAGES = "dpkg-query --show --showformat=${Package}==${Version}\\n"
STATUS = """\
Package: kept
Status: install ok installed
Architecture: amd64
Version: 1:2.0+dfsg-1~deb12u1
Description: one
 Package: not-this
 .
 Version: 9

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: held
Status: hold ok installed
Architecture: all
Version: 3
"""


@pytest.fixture(scope="module")
def text(image: str) -> str:
    label = inspect(image)["Config"]["Labels"]["tumor-detector.sbom"]
    return run_python(image, f"print(open('{label}').read(), end='')")


@pytest.fixture(scope="module")
def components(text: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(text)["components"]
    return listed


def listed(components: list[dict[str, Any]], kind: str) -> set[str]:
    return {
        f"{each['name']}=={each['version']}"
        for each in components
        if each.get("purl", "").startswith(f"pkg:{kind}/")
    }


def test_it_is_valid_cyclonedx(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_validator_would_have_found_a_fault(text: str) -> None:
    broken = text.replace('"type": "library"', '"type": "book"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_its_python_packages_are_those_that_the_image_has(
    components: list[dict[str, Any]], image: str
) -> None:
    assert listed(components, "pypi") == set(run_python(image, DISTRIBUTIONS).splitlines())


def test_its_python_packages_hold_all_that_was_locked(components: list[dict[str, Any]]) -> None:
    lock = (ROOT / "container/requirements.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    urls = [PackageURL.from_string(each["purl"]) for each in components if "purl" in each]
    assert locked
    assert locked <= {(url.name, url.version) for url in urls if url.type == "pypi"}


def test_its_debian_packages_are_those_that_the_image_has(
    components: list[dict[str, Any]], image: str
) -> None:
    command, *arguments = PACKAGES.split()
    installed = docker("run", "--rm", f"--entrypoint={command}", image, *arguments)
    assert listed(components, "deb") == set(installed.splitlines())


def test_it_names_the_python_that_serves(components: list[dict[str, Any]], image: str) -> None:
    [python] = [each for each in components if each["type"] == "platform"]
    version = run_python(image, "import platform; print(platform.python_version())")
    assert python["version"] == version
    assert f":python:{version}:" in python["cpe"]


def test_every_reference_is_in_its_one_written_form(components: list[dict[str, Any]]) -> None:
    references = [each["purl"] for each in components if "purl" in each]
    assert references
    assert [PackageURL.from_string(each).to_string() for each in references] == references


def test_it_has_no_address_time_or_random_number(text: str) -> None:
    assert "://" not in text
    assert not {"serialNumber", "timestamp"} & {*json.loads(text), *json.loads(text)["metadata"]}


def distribution(place: Path, name: str, version: str, *fields: str) -> None:
    folder = place / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *fields]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")


def test_of_two_places_the_first_counts_as_in_an_import(tmp_path: Path) -> None:
    distribution(tmp_path / "first", "Some_Package", "2.0")
    distribution(tmp_path / "second", "some-package", "1.0")
    [found] = bill.python_packages([str(tmp_path / "first"), str(tmp_path / "second")])
    assert found["purl"] == "pkg:pypi/some-package@2.0"
    assert found["name"] == "Some_Package"


@pytest.mark.parametrize(
    ("fields", "licences"),
    [
        (
            ["License-Expression: MIT OR Apache-2.0", "License: ignored"],
            [{"expression": "MIT OR Apache-2.0"}],
        ),
        (["License: BSD"], [{"license": {"name": "BSD"}}]),
        (
            [f"License: {'a whole text ' * 20}", "Classifier: License :: OSI Approved :: MIT License"],
            [{"license": {"name": "MIT License"}}],
        ),
        (["Classifier: Typing :: Typed"], None),
    ],
    ids=["expression", "name", "classifier", "unknown"],
)
def test_a_licence_is_what_the_package_says(tmp_path: Path, fields: list[str], licences: object) -> None:
    distribution(tmp_path, "package", "1.0", *fields)
    [found] = bill.python_packages([str(tmp_path)])
    assert found.get("licenses") == licences


def test_only_installed_debian_packages_count(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n')
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    assert [each["purl"] for each in bill.debian_packages(tmp_path)] == [
        "pkg:deb/debian/kept@1:2.0%2Bdfsg-1~deb12u1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/held@3?arch=all&distro=debian-12",
    ]


def test_a_base_that_is_no_debian_has_no_debian_packages(tmp_path: Path) -> None:
    assert list(bill.debian_packages(tmp_path)) == []


def test_the_order_of_the_files_does_not_matter() -> None:
    components = [bill.interpreter(), *bill.python_packages(sys.path)]
    assert len(components) > 10
    assert bill.bill(components) == bill.bill(components[::-1])
