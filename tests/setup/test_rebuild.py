"""`scripts/dev rebuild`: two small images are compared, and the new base becomes a pin or a branch."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from scripts.console import DeliveryError
from scripts.dev_tools import pin, rebuild
from tests.docker_engine import find_base_image
from tests.git import branches, git, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OLD, NEW = (f"python:3.11-slim@sha256:{digit * 64}" for digit in "12")
DEBIAN = "Package: libc6\nStatus: install ok installed\nVersion: {}\n\nPackage: zlib1g\nVersion: 1\n"


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Images by the base on which they seem to be built."""
    find_base_image()  # skips without an engine
    made = {OLD: image(numpy="1.0", libc6="2.36-9"), NEW: image(numpy="1.0", pillow="9.0.0", libc6="2.36-10")}
    monkeypatch.setattr(rebuild, "build", lambda _folder, base: made[base])
    monkeypatch.setattr(pin, "_digest", lambda _image: NEW.partition("@")[2])
    yield made
    subprocess.run(["docker", "rmi", "--force", *made.values()], check=True, capture_output=True)


def image(*, libc6: str, **python: str) -> str:
    """Import an image that holds its two lists of packages and nothing else."""
    bill = {"components": [{"name": name, "version": version} for name, version in python.items()]}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in ((rebuild.BILL, json.dumps(bill)), (rebuild.DEBIAN, DEBIAN.format(libc6))):
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    command = ["docker", "import", "-"]
    done = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a Dockerfile on the old base, and its remote."""
    clone = tmp_path / "clone"
    (clone / "container").mkdir(parents=True)
    (clone / "container" / "Dockerfile").write_text(f"ARG BASE_IMAGE={OLD}\nFROM ${{BASE_IMAGE}}\n")
    publish(clone, tmp_path / "remote.git")
    return clone


def test_what_changed_is_told_and_the_pin_written(
    images: dict[str, str], clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vulnerable = {
        "name": "pillow",
        "version": "9.0.0",
        "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.0.1"]}],
    }
    audited: list[list[str]] = []
    run = subprocess.run

    def audit(command: list[str], **options: object) -> object:
        if "pip_audit" not in command:
            return run(command, **options)  # type: ignore[call-overload]
        (file,) = [word.partition("=")[2] for word in command if word.startswith("--requirement")]
        audited.append(open(file).read().split())  # noqa: PTH123, SIM115
        return subprocess.CompletedProcess(command, 1, json.dumps({"dependencies": [vulnerable]}), "")

    monkeypatch.setattr(subprocess, "run", audit)
    rebuild.rebuild(clone, propose=False)
    printed = capsys.readouterr().out
    changed = [line for line in printed.splitlines() if line.startswith("| ")]
    assert changed[1:] == ["| debian libc6 | 2.36-9 | 2.36-10 |", "| pillow | - | 9.0.0 |"]
    assert "- pillow 9.0.0: PYSEC-1, fixed in: 9.0.1" in printed
    assert audited == [["numpy==1.0", "pillow==9.0.0"]]
    assert (clone / "container" / "Dockerfile").read_text().startswith(f"ARG BASE_IMAGE={NEW}\n")
    rebuild.rebuild(clone, propose=False)
    assert "is the newest: nothing to rebuild" in capsys.readouterr().err


def test_a_proposal_is_a_branch_with_the_pin_alone(
    images: dict[str, str], clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rebuild, "_known", lambda _: ["None."])
    monkeypatch.setenv("GH_TOKEN", "")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    rebuild.rebuild(clone, propose=True)
    assert "gh pr create" in capsys.readouterr().err
    remote = clone.with_name("remote.git")
    (name,) = branches(remote)
    assert git(remote, "diff", "--name-only", "main", name) == "container/Dockerfile"
    assert f"+ARG BASE_IMAGE={NEW}" in git(remote, "diff", "main", name)
    assert OLD in (clone / "container" / "Dockerfile").read_text()


@pytest.mark.parametrize("step", ["pull", "build"])
def test_where_the_registry_cannot_be_reached_nothing_changes(
    clone: Path, make_tool: Callable[[str, str], None], step: str
) -> None:
    fails = f'if [ "$1" = {step} ]; then echo "no such host" >&2; exit 1; fi'
    make_tool("docker", f'{fails}; echo "Digest: sha256:{"2" * 64}"')
    with pytest.raises(DeliveryError, match=f"Nothing was changed: docker {step}.* failed: no such host"):
        rebuild.rebuild(clone, propose=False)
    assert OLD in (clone / "container" / "Dockerfile").read_text()
