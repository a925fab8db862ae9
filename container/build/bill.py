"""Write the image's bill of materials, in CycloneDX: run while the image is built, by its own Python.

It lists what is installed there: Python itself, the Python packages and the base's Debian packages. The same
image gives the same bytes: there is no time, no random number and no address in it.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

Component = dict[str, object]
SPECIFICATION = "1.6"
_LONGEST_NAME = 80  # of a licence; some packages put its whole text where its name belongs


def main() -> None:
    """Write the bill of what this Python would find."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path, help="folder with the Python packages of the server")
    parser.add_argument("bill", type=Path, help="the file to write")
    options = parser.parse_args()
    components = [
        interpreter(),
        *python_packages([str(options.packages), *sys.path]),
        *debian_packages(Path("/")),
    ]
    options.bill.write_text(json.dumps(bill(components), indent=1, ensure_ascii=False) + "\n")


def bill(components: list[Component]) -> dict[str, object]:
    """Put the components into a document, in one order whatever the file system's was."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": {"type": "container", "name": "tumor-detector", "bom-ref": "tumor-detector"},
        },
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }


def interpreter() -> Component:
    """The Python that serves, by the name under which its vulnerabilities are published."""
    version = platform.python_version()
    return {
        "type": "platform",
        "bom-ref": f"python@{version}",
        "name": "python",
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }


def python_packages(places: list[str]) -> Iterator[Component]:
    """Every installed Python distribution; of two of one name that which Python imports."""
    seen = set()
    for distribution in metadata.distributions(path=places):
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name in seen:
            continue
        seen.add(name)
        reference = f"pkg:pypi/{name}@{quote(distribution.version)}"
        component = _library(reference, distribution.metadata["Name"], distribution.version)
        yield component | _licences(distribution.metadata)


def debian_packages(root: Path) -> Iterator[Component]:
    """Every installed Debian package; none on a base that is no Debian."""
    status = root / "var/lib/dpkg/status"
    if not status.is_file():
        return
    release = dict(re.findall(r'^(\w+)="?(.*?)"?$', (root / "etc/os-release").read_text(), re.MULTILINE))
    for paragraph in status.read_text().split("\n\n"):
        field = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        if field.get("Status", "").endswith(" installed"):
            reference = (
                f"pkg:deb/{release['ID']}/{quote(field['Package'])}@{quote(field['Version'], safe=':')}"
                f"?arch={field['Architecture']}&distro={release['ID']}-{release['VERSION_ID']}"
            )
            yield _library(reference, field["Package"], field["Version"])


def _library(reference: str, name: str, version: str) -> Component:
    return {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference}


def _licences(fields: metadata.PackageMetadata) -> Component:
    """What a distribution says of its licence, in the best of the three forms in which it may."""
    if expression := _first(fields, "License-Expression"):
        return {"licenses": [{"expression": expression}]}
    name = _first(fields, "License").strip()
    if name and "\n" not in name and len(name) <= _LONGEST_NAME:
        return {"licenses": [{"license": {"name": name}}]}
    named = [
        each.rpartition(" :: ")[2]
        for each in fields.get_all("Classifier", [])
        if each.startswith("License :: ")
    ]
    return {"licenses": [{"license": {"name": each}} for each in named]} if named else {}


def _first(fields: metadata.PackageMetadata, name: str) -> str:
    return str(next(iter(fields.get_all(name, [])), ""))


if __name__ == "__main__":
    main()
