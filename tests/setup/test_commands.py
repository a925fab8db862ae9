"""How `scripts/lock` and `scripts/test` end: the set-up is done, and their tools do what they are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
DONE = """
from pathlib import Path
ROOT = Path(__file__).resolve().parent.parent
def ensure(): pass
"""
# Ctrl-C reaches the command and what it started; this tool takes a moment to end in order.
INTERRUPTED = """
import os, pathlib, signal, time
os.kill(os.getppid(), signal.SIGINT)
time.sleep(1)
pathlib.Path("in-order").touch()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("lock", "test"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")
    (tmp_path / "scripts" / "_setup.py").write_text(DONE)
    return tmp_path


def run(root: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(root / "scripts" / command), *arguments],
        env={"PATH": f"{root / 'tools'}{os.pathsep}{os.defpath}"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def make_uv(root: Path, script: str) -> None:
    uv = root / "tools" / "uv"
    uv.parent.mkdir()
    uv.write_text(f"#!/bin/sh\n{script}\n")
    uv.chmod(0o755)


def test_lock_ends_with_uvs_words_and_status(root: Path) -> None:
    make_uv(root, "echo 'no solution found' >&2; exit 7")
    done = run(root, "lock")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "no solution found\n")


def test_lock_resolves_the_container_within_the_rest(root: Path) -> None:
    make_uv(root, 'echo "uv $*"')
    done = run(root, "lock")
    assert done.returncode == 0
    first, second = (line for line in done.stdout.splitlines() if line.startswith("uv "))
    assert "compile requirements.in " in first
    assert "compile container/requirements.in " in second
    assert "--constraints requirements.lock" in second


def test_ctrl_c_ends_lock_without_a_stack_trace(root: Path) -> None:
    make_uv(root, "kill -INT $PPID; sleep 5")
    assert run(root, "lock").returncode == 130


def test_ctrl_c_ends_test_once_the_check_has_cleaned_up(root: Path) -> None:
    (root / "ruff.py").write_text(INTERRUPTED)
    assert run(root, "test", "--fast").returncode == 130
    assert (root / "in-order").exists()


def test_test_runs_every_check_and_fails_if_one_does(root: Path) -> None:
    (root / "ruff.py").write_text("raise SystemExit('unformatted')")
    (root / "mypy.py").touch()
    done = run(root, "test", "--fast")
    assert done.returncode == 1
    assert "mypy passed" in done.stderr
    assert done.stderr.splitlines()[-1] == "scripts/test: failed: ruff check, ruff format"


def make_checks(root: Path, *, audit: str) -> None:
    """Stand-ins for the checks that all pass, but for the audit, which is this line."""
    for name in ("ruff", "mypy", "pytest"):
        (root / f"{name}.py").touch()
    (root / "scripts" / "delivery").mkdir()
    (root / "scripts" / "delivery" / "audit.py").write_text(audit)


def test_test_goes_on_where_the_audit_cannot_be_made(root: Path) -> None:
    make_checks(root, audit="print('no network'); raise SystemExit(75)")
    done = run(root, "test")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no network\n"
    assert "pip-audit skipped" in done.stderr
    assert "pytest passed" in done.stderr


def test_test_fails_where_the_audit_finds_something(root: Path) -> None:
    make_checks(root, audit="raise SystemExit(1)")
    done = run(root, "test")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "scripts/test: failed: pip-audit"


def test_some_tests_alone_are_run_without_the_audit(root: Path) -> None:
    make_checks(root, audit="raise SystemExit(1)")
    done = run(root, "test", "tests/model", "-k", "split")
    assert done.returncode == 0, done.stderr
    assert "pip-audit" not in done.stderr
