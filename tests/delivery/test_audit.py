"""What the audit makes of pip-audit's answers; its own database cannot be reached everywhere."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.delivery import audit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
ABSENT = {"name": "pillow", "skip_reason": "Dependency not found"}
REFUSED = "requests.exceptions.ConnectionError: Name or service not known"
UNPINNED = "ERROR:pip_audit._cli:requirement numpy is not pinned"


def found(name: str, *fixed: str) -> dict[str, object]:
    return {"name": name, "version": "1.0", "vulns": [{"id": f"PYSEC-{name}", "fix_versions": list(fixed)}]}


@pytest.fixture
def pip_audit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Make pip-audit answer with these packages, or with these last words; returns what it is asked."""

    def answer(*packages: dict[str, object], words: str = "", status: int = 0) -> list[str]:
        asked: list[str] = []

        def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
            asked.extend(command)
            answered = "" if words else json.dumps({"dependencies": packages, "fixes": []})
            return subprocess.CompletedProcess(command, status, answered, words)

        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return answer


def test_both_locks_are_audited_by_their_hashes_alone(pip_audit: Callable[..., list[str]]) -> None:
    asked = pip_audit(CLEAN)
    assert audit.main() == audit.PASSED
    assert {"--requirement=requirements.lock", "--requirement=container/requirements.lock"} <= set(asked)
    assert {"--require-hashes", "--disable-pip"} <= set(asked)


def test_a_finding_in_the_image_fails_and_says_what_to_do(
    pip_audit: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit(CLEAN, found("pillow", "1.1", "2.0"), status=1)
    assert audit.main() == audit.FAILED
    said = capsys.readouterr().out
    assert "pillow 1.0, which the image holds: PYSEC-pillow, fixed in 1.1, 2.0." in said
    assert "scripts/lock --upgrade" in said


def test_a_finding_in_a_tool_is_listed_and_passes(
    pip_audit: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit(CLEAN, found("mlflow"), status=1)
    assert audit.main() == audit.PASSED
    assert "mlflow 1.0: PYSEC-mlflow, no fix is known." in capsys.readouterr().out


def test_what_the_database_does_not_know_is_named(
    pip_audit: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit(CLEAN, ABSENT)
    assert audit.main() == audit.PASSED
    said = capsys.readouterr().out
    assert "1 packages looked up" in said
    assert "not in its database: pillow." in said


def test_a_mirror_without_advisories_is_no_clean_bill(
    pip_audit: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """pip-audit says "No known vulnerabilities found" and ends with 0 when it could look nothing up."""
    pip_audit(ABSENT)
    assert audit.main() == audit.SKIPPED
    assert "knows none of 1 packages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status"), [(REFUSED, audit.SKIPPED), (UNPINNED, audit.FAILED)], ids=["network", "lock file"]
)
def test_only_an_unreached_database_is_skipped(
    pip_audit: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], words: str, status: int
) -> None:
    pip_audit(words=f"Traceback ...\n{words}\n", status=1)
    assert audit.main() == status
    said = capsys.readouterr()
    assert words in said.out + said.err


def test_pip_audit_itself_says_that_it_reaches_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real one reads both lock files, fails at the first look-up, and is understood."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # nobody listens there
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path))  # no answer of an earlier run
    with pytest.raises(audit.Unreachable, match=r"requests\.exceptions\.ProxyError"):
        audit.audit()
