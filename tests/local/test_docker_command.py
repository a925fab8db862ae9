"""The `docker` command where it does not answer as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.local.docker import docker
from infra.local.sagemaker.containers import Docker

if TYPE_CHECKING:
    from pathlib import Path


def test_no_answer_in_time_is_a_failure_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "docker"
    hanging.write_text("#!/bin/sh\nexec sleep 30\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    done = docker("pull", "image", timeout_s=0.2)
    assert done.returncode
    assert "no answer" in done.stderr


def test_without_the_command_no_engine_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="docker"):
        docker("version")
    assert not Docker.answers()
