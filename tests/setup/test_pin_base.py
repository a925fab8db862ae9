"""`scripts/pin-base` writes what a registry answers, or nothing at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import LocalAws
from tests.docker_engine import docker, find_base_image, succeeds
from tests.local.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "f" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The script and the Dockerfile, in a folder of their own."""
    for name in ("scripts/pin-base", "container/Dockerfile"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make_docker(root: Path, script: str) -> None:
    command = root / "tools" / "docker"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def pin(root: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(root / "scripts/pin-base"), *arguments],
        env={**os.environ, "PATH": path or f"{root / 'tools'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def dockerfile(root: Path) -> str:
    return (root / "container/Dockerfile").read_text()


def base(root: Path) -> str:
    [image] = re.findall(r"^ARG BASE_IMAGE=(\S+)$", dockerfile(root), re.MULTILINE)
    return str(image)


def test_it_writes_the_digest_behind_the_dockerfiles_own_tag(root: Path) -> None:
    tag, before = base(root).partition("@")[0], dockerfile(root)
    make_docker(root, f'echo "$*" > {root}/asked; echo "Digest: {DIGEST}"')
    done = pin(root)
    assert done.returncode == 0, done.stderr
    assert (root / "asked").read_text() == f"pull --platform linux/amd64 {tag}\n"
    assert dockerfile(root) == before.replace(
        f"BASE_IMAGE={base_before(before)}", f"BASE_IMAGE={tag}@{DIGEST}"
    )


def base_before(text: str) -> str:
    return text.partition("ARG BASE_IMAGE=")[2].partition("\n")[0]


def test_run_again_it_takes_the_newest(root: Path) -> None:
    make_docker(root, f'echo "Digest: {DIGEST}"')
    pin(root, "python:3.11-slim")
    make_docker(root, f'echo "$*" > {root}/asked; echo "Digest: {OTHER}"')
    assert pin(root).returncode == 0
    assert (root / "asked").read_text().split()[-1] == "python:3.11-slim"
    assert base(root) == f"python:3.11-slim@{OTHER}"
    again = pin(root)
    assert "newest already" in again.stdout
    assert base(root) == f"python:3.11-slim@{OTHER}"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'Error response from daemon: dial tcp: no such host' >&2; exit 1", "no such host"),
        ("echo 'Error response from daemon: manifest unknown' >&2; exit 1", "manifest unknown"),
        ("exit 0", "named no digest"),
        ("echo 'Digest: sha256:1234'", "named no digest"),
    ],
    ids=["no network", "no such tag", "silent", "half a digest"],
)
def test_where_no_digest_can_be_had_nothing_is_changed(root: Path, script: str, said: str) -> None:
    before = dockerfile(root)
    make_docker(root, script)
    done = pin(root)
    assert done.returncode == 1
    assert said in done.stderr
    assert "nothing was changed" in done.stderr
    assert dockerfile(root) == before


def test_without_docker_it_says_so(root: Path) -> None:
    before = dockerfile(root)
    done = pin(root, path=str(root))
    assert done.returncode == 1
    assert "no docker command" in done.stderr
    assert dockerfile(root) == before


def test_a_dockerfile_with_two_bases_is_left_alone(root: Path) -> None:
    (root / "container/Dockerfile").write_text("ARG BASE_IMAGE=one\nARG BASE_IMAGE=two\n")
    make_docker(root, f'echo "Digest: {DIGEST}"')
    done = pin(root)
    assert done.returncode == 1
    assert "2 are there" in done.stderr


def test_what_a_real_registry_answers_can_be_built_on(root: Path, tmp_path: Path) -> None:
    # Given a base image in a registry
    image = find_base_image()
    with LocalAws(port=0, engine="docker", log=tmp_path / "aws.log") as aws:
        ecr = Cloud(aws).ecr
        uri = ecr.create_repository(repositoryName="base")["repository"]["repositoryUri"]
        docker("tag", image, f"{uri}:slim")
        docker("push", "--quiet", f"{uri}:slim")
        [pushed] = ecr.describe_images(repositoryName="base")["imageDetails"]
        try:
            # When it is pinned
            done = pin(root, f"{uri}:slim")
            # Then the Dockerfile has the registry's digest, and Docker finds that image by the line
            assert done.returncode == 0, done.stderr
            assert base(root) == f"{uri}:slim@{pushed['imageDigest']}"
            assert succeeds("image", "inspect", base(root))
            (tmp_path / "Dockerfile").write_text(f"FROM {base(root)}\n")
            assert docker("build", "--quiet", "--file", str(tmp_path / "Dockerfile"), str(root))
        finally:
            docker("image", "rm", f"{uri}:slim")
