"""The set-up step, with its three installers replaced by what they leave behind."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SOURCE = Path(__file__).resolve().parents[2] / "scripts" / "_setup.py"


class Restarted(Exception):  # noqa: N818 - it is no error
    """The set-up is done and hands over to the environment's Python."""


class Installers:
    """Stand-ins for `venv`, pip and npm that can be told to break."""

    def __init__(self, setup: ModuleType) -> None:
        self.setup = setup
        self.ran: list[str] = []
        self.breaks: dict[str, BaseException] = {}

    def run(self, *command: object) -> None:
        if "venv" in command:
            self.note("venv --clear" if "--clear" in command else "venv")
            self.setup.VENV.mkdir(exist_ok=True)
        else:
            self.note("npm")
            self.setup.CDK.parent.mkdir(parents=True, exist_ok=True)
            self.setup.CDK.touch()

    def packages(self, _progress: object) -> None:
        self.note("pip")

    def note(self, name: str) -> None:
        self.ran.append(name)
        if name in self.breaks:
            raise self.breaks.pop(name)


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, in a copied folder, so that all its paths are there."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    source = scripts / SOURCE.name
    source.write_text(SOURCE.read_text())
    for name in ("requirements.lock", "package-lock.json"):
        (tmp_path / name).touch()
    specification = importlib.util.spec_from_file_location("set_up_under_test", source)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setenv("PATH", os.environ["PATH"])  # `ensure` changes it

    def restart(*_arguments: object) -> None:
        raise Restarted

    monkeypatch.setattr(os, "execv", restart)
    return module


@pytest.fixture
def installers(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Installers:
    installers = Installers(setup)
    monkeypatch.setattr(setup, "_run", installers.run)
    monkeypatch.setattr(setup, "_install_packages", installers.packages)
    return installers


def ensure(setup: ModuleType) -> None:
    with pytest.raises(Restarted):
        setup.ensure()


def test_a_second_run_installs_nothing(setup: ModuleType, installers: Installers) -> None:
    ensure(setup)
    installers.ran.clear()
    ensure(setup)
    assert installers.ran == []


def test_changed_requirements_are_installed_over_the_old(setup: ModuleType, installers: Installers) -> None:
    ensure(setup)
    installers.ran.clear()
    (setup.ROOT / "requirements.lock").write_text("another==1\n")
    ensure(setup)
    assert installers.ran == ["venv", "pip", "npm"]


@pytest.mark.parametrize("stopped_in", ["venv --clear", "pip", "npm"])
def test_ctrl_c_is_one_line_and_the_next_run_starts_afresh(
    setup: ModuleType, installers: Installers, capsys: pytest.CaptureFixture[str], stopped_in: str
) -> None:
    # When the first set-up is stopped
    installers.breaks[stopped_in] = KeyboardInterrupt()
    with pytest.raises(SystemExit) as ended:
        setup.ensure()

    # Then it ends as a shell expects, and does not pass for done
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("set-up: stopped")
    assert not setup.STAMP.exists()

    # And the next run leaves nothing of what was half installed
    installers.ran.clear()
    ensure(setup)
    assert installers.ran == ["venv --clear", "pip", "npm"]


def test_ctrl_c_while_another_command_installs_is_no_stack_trace(
    setup: ModuleType, installers: Installers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fcntl.flock", wait)
    with pytest.raises(SystemExit) as ended:
        setup.ensure()
    assert ended.value.code == 130


def test_a_lost_cdk_is_installed_again(setup: ModuleType, installers: Installers) -> None:
    ensure(setup)
    installers.ran.clear()
    setup.CDK.unlink()
    ensure(setup)
    assert "npm" in installers.ran
    assert setup.CDK.exists()


def test_a_python_without_venv_names_the_package_to_install(
    setup: ModuleType, installers: Installers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # as Debian ships Python
    with pytest.raises(SystemExit, match=r"venv module.*python3\.11-venv"):
        setup.ensure()
    assert installers.ran == []


def test_an_environment_behind_a_link_is_never_touched(
    setup: ModuleType, installers: Installers, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    setup.VENV.symlink_to(theirs)
    with pytest.raises(SystemExit, match="is a link"):
        setup.ensure()
    assert installers.ran == []


def test_a_step_is_silent_unless_it_fails_and_then_says_why(
    setup: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    talk = "import sys; print('from its output'); print('from its errors', file=sys.stderr)"
    setup._run(sys.executable, "-c", talk)
    assert capfd.readouterr() == ("", "")

    with pytest.raises(SystemExit, match="run the same command again"), setup._Step("talking"):
        setup._run(sys.executable, "-c", f"{talk}; sys.exit(3)")
    told = capfd.readouterr().err
    assert "from its output\n" in told
    assert "from its errors\n" in told
    assert "exit status 3" in told


def test_it_needs_nothing_but_python(setup: ModuleType) -> None:
    bare = [sys.executable, "-I", "-S", str(setup.ROOT / "scripts" / SOURCE.name)]
    subprocess.run(bare, check=True, env={})
