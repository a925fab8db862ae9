"""The image installs what the tests ran with."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def test_the_image_has_the_versions_that_training_and_tests_have() -> None:
    serving = pins(ROOT / "container/requirements.lock")
    everything: dict[str, str] = {}
    for lock in (ROOT / "requirements").glob("*.txt"):
        everything |= pins(lock)
    assert serving
    assert serving.items() <= everything.items()


def test_every_locked_package_has_its_hash_and_no_address() -> None:
    text = (ROOT / "container/requirements.lock").read_text()
    packages = [part for part in re.split(r"\n(?=\S)", text) if "==" in part.splitlines()[0]]
    assert len(packages) == len(pins(ROOT / "container/requirements.lock"))
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text
