"""The set-up step, with its installers replaced by what they leave behind; one real set-up at the end."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from infra.paths import ROOT

SOURCE = ROOT / "scripts" / "_setup.py"
LAYERS = ("deploy", "train", "local", "test")
MARKS = {
    "-m venv": "venv",
    "pip config": "pip config",
    "pip install": "pip install",
    "pip sync": "uv",
    "npm ci": "npm",
}
FRESH = ["venv", "pip config", "pip install", "uv", "npm"]
SHOW = """
import os, sys
def main():
    if "stop" in sys.argv:
        raise KeyboardInterrupt
    print(sys.prefix, os.environ.get("PYTHONPATH"), os.environ["PATH"].split(":")[0], *sys.argv[1:], sep="|")
    return 7
"""


class Installers:
    """Stand-ins for venv, pip, uv and npm that can fail on demand."""

    def __init__(self, setup: ModuleType) -> None:
        self.setup = setup
        self.ran: list[str] = []
        self.arguments: dict[str, list[str]] = {}
        self.environment: dict[str, str] = {}
        self.breaks: dict[str, BaseException] = {}
        self.takes_s = 0.0

    def ensure(self, layer: str = "deploy") -> None:
        if not self.setup.is_current(layer):
            self.setup._install_alone(layer)

    def __call__(self, *command: object, environment: dict[str, str], **_options: object) -> str:
        words = [str(part) for part in command]
        name = next(name for mark, name in MARKS.items() if mark in " ".join(words))
        self.ran.append(name)
        self.arguments[name], self.environment = words, environment
        time.sleep(self.takes_s)
        if name in self.breaks:
            raise self.breaks.pop(name)
        made = {"venv": self.setup.PYTHON, "pip install": self.setup.UV, "npm": self.setup.CDK}.get(name)
        if made and not made.exists():
            made.parent.mkdir(parents=True, exist_ok=True)
            made.symlink_to(sys.executable)
        return f"global.index-url='{PIPS_INDEX}'\nglobal.constraint='/etc/constraints.txt'\n"


def load(checkout: Path) -> ModuleType:
    loader = SourceFileLoader("set_up_under_test", str(checkout / "scripts" / "_setup.py"))
    module = ModuleType(loader.name)
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


@pytest.fixture
def setup(tmp_path: Path) -> ModuleType:
    """The module in a checkout of its own."""
    checkout = tmp_path / "checkout"
    for name in ("package-lock.json", *(f"requirements/{layer}.txt" for layer in LAYERS)):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(f"{name}\n")
    (checkout / "scripts").mkdir()
    shutil.copy(SOURCE, checkout / "scripts")
    return load(checkout)


@pytest.fixture
def installers(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Installers:
    installers = Installers(setup)
    monkeypatch.setattr(setup, "_run", installers)
    return installers


def test_layers_are_added_and_never_removed(installers: Installers) -> None:
    installers.ensure("deploy")
    installers.ensure("local")
    assert installers.ran == [*FRESH, "pip config", "uv", "npm"]
    sync = installers.arguments["uv"]
    assert {"--require-hashes", str(installers.setup.PYTHON)} <= set(sync)
    assert [Path(each).stem for each in sync if each.endswith(".txt")] == ["deploy", "train", "local"]
    installers.ran.clear()
    installers.ensure("deploy")
    assert installers.ran == []
    (installers.setup.ROOT / "requirements" / "deploy.txt").write_text("another==1\n")
    installers.ensure("deploy")
    assert installers.setup.STAMP.read_text().startswith("local\n")


@pytest.mark.parametrize("stopped_in", FRESH)
def test_ctrl_c_is_one_line_and_the_next_run_starts_afresh(
    installers: Installers, capsys: pytest.CaptureFixture[str], stopped_in: str
) -> None:
    installers.breaks[stopped_in] = KeyboardInterrupt()
    with pytest.raises(SystemExit) as ended:
        installers.ensure()
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("set-up: stopped")
    installers.ran.clear()
    installers.ensure()
    assert installers.ran == FRESH


def test_two_commands_at_once_install_once(installers: Installers) -> None:
    installers.takes_s = 0.05
    with ThreadPoolExecutor(3) as commands:
        list(commands.map(installers.ensure, ["deploy"] * 3))
    assert installers.ran == FRESH


@pytest.mark.parametrize(("lost", "again"), [("CDK", ["pip config", "uv", "npm"]), ("PYTHON", FRESH)])
def test_missing_parts_are_installed_again(installers: Installers, lost: str, again: list[str]) -> None:
    installers.ensure()
    installers.ran.clear()
    getattr(installers.setup, lost).unlink()
    installers.ensure()
    assert installers.ran == again


def test_a_moved_checkout_makes_its_environment_anew(
    installers: Installers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installers.ensure()
    moved = load(installers.setup.ROOT.rename(tmp_path / "moved"))
    there = Installers(moved)
    monkeypatch.setattr(moved, "_run", there)
    there.ensure()
    assert there.ran == FRESH


def test_a_second_run_even_by_another_python_installs_nothing(
    installers: Installers, monkeypatch: pytest.MonkeyPatch
) -> None:
    installers.ensure()
    monkeypatch.setattr(sys, "version", "3.11.99 (another build)")
    monkeypatch.setattr(sys, "_base_executable", "/opt/other/bin/python3.11")
    installers.ensure()
    assert installers.ran == FRESH


def test_an_environment_behind_a_link_is_never_touched(installers: Installers, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    installers.setup.VENV.symlink_to(tmp_path / "theirs")
    with pytest.raises(installers.setup.SetupError, match="is a link"):
        installers.ensure()
    assert installers.ran == []


def test_a_checkout_that_cannot_be_written_is_named(installers: Installers) -> None:
    setup = installers.setup
    setup.LOCAL.write_text("root may write anywhere, but not in a file")
    before = set(setup.ROOT.rglob("*"))
    with pytest.raises(setup.SetupError, match=rf"in {setup.ROOT}: check its permissions"):
        installers.ensure()
    assert installers.ran == []
    assert set(setup.ROOT.rglob("*")) == before


REDIRECTING = (
    "PIP_USER", "PIP_CONSTRAINT", "PIP_TARGET", "PIP_PREFIX", "PIP_NO_DEPS", "UV_NO_BINARY", "UV_PYTHON",
    "UV_PROJECT_ENVIRONMENT", "npm_config_global", "NPM_CONFIG_PREFIX", "PYTHONPATH", "PYTHONHOME",
    "PYTHONUSERBASE", "VIRTUAL_ENV", "CONDA_PREFIX", "NODE_OPTIONS", "NODE_PATH",
)  # fmt: skip
NETWORK = (
    "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "UV_INDEX_CORP_PASSWORD",
    "UV_CACHE_DIR", "npm_config_registry", "npm_config_cafile", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
)  # fmt: skip
PIPS_INDEX = "https://index.example.org/simple"


@pytest.mark.parametrize("uvs_index", ["/somewhere", None])
def test_installers_get_network_settings_and_none_that_redirect_them(
    installers: Installers, monkeypatch: pytest.MonkeyPatch, uvs_index: str | None
) -> None:
    for name in (*REDIRECTING, *NETWORK):
        monkeypatch.setenv(name, "/somewhere")
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    if uvs_index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", uvs_index)
    installers.ensure()
    assert not set(REDIRECTING) & installers.environment.keys()
    assert installers.environment.items() >= dict.fromkeys(NETWORK, "/somewhere").items()
    assert installers.environment["PIP_INDEX_URL"] == PIPS_INDEX
    assert installers.environment["UV_DEFAULT_INDEX"] == (uvs_index or PIPS_INDEX)


@pytest.mark.parametrize("home", ["/proc/1", "/nowhere"], ids=["not writable", "missing"])
def test_without_a_home_caches_go_into_the_checkout(
    installers: Installers, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "access", lambda path, mode: home not in str(path) and Path(path).exists())
    installers.ensure()
    for name in ("XDG_CACHE_HOME", "npm_config_cache", "JSII_RUNTIME_PACKAGE_CACHE_ROOT", "CDK_HOME"):
        assert Path(installers.environment[name]).is_relative_to(installers.setup.LOCAL)
    assert (installers.environment["HOME"] == home) == Path(home).is_dir()


def make_python(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture
def old_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Python but an unsupported one."""
    old = make_python(tmp_path / "old", "python3", "echo 3.10")
    monkeypatch.setattr(sys, "_base_executable", str(old))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'works'}")


@pytest.mark.usefixtures("old_python")
def test_a_supported_python_is_found_behind_a_shim_that_fails(setup: ModuleType, tmp_path: Path) -> None:
    make_python(tmp_path / "shims", "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    works = make_python(tmp_path / "works", "python3.12", "echo 3.12")
    assert setup.base_python(dict(os.environ)) == str(works)


@pytest.mark.usefixtures("old_python")
def test_without_a_supported_python_the_message_says_what_to_install(installers: Installers) -> None:
    message = r"3\.11 or 3\.12 or 3\.13 was found(.|\n)*python3\.11-venv"
    with pytest.raises(installers.setup.SetupError, match=message):
        installers.ensure()


def test_a_failed_command_shows_its_output(setup: ModuleType) -> None:
    fails = (sys.executable, "-c", "import sys; print(sys.stdin.read()); sys.exit('from its errors')")
    message = r"given\n(.|\n)*from its errors(.|\n)*run the same command again"
    with pytest.raises(setup.SetupError, match=message):
        setup._run(*fails, environment=dict(os.environ), stdin="given")


def test_an_older_python_can_read_it() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 8))


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    words, environment = [sys.executable, *command], os.environ | variables
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def launcher(setup: ModuleType, installers: Installers) -> Path:
    """A launcher in a checkout whose environment is an empty one."""
    venv.create(setup.VENV, with_pip=False)
    installers.ensure()
    (setup.ROOT / "scripts" / "commands").mkdir()
    (setup.ROOT / "scripts" / "commands" / "show.py").write_text(SHOW)
    text = (ROOT / "scripts" / "deploy").read_text().replace("commands.deploy", "commands.show")
    launcher: Path = setup.ROOT / "scripts" / "show"
    launcher.write_text(text)
    return launcher


def test_a_command_runs_in_the_environment_whatever_pythonpath_holds(launcher: Path, tmp_path: Path) -> None:
    done = run(launcher, "--env", "dev", PYTHONPATH=str(tmp_path / "packages"))
    environment = launcher.parents[1] / ".venv"
    assert done.stdout == f"{environment}|None|{environment}/bin|--env|dev\n", done.stderr
    assert done.returncode == 7


def test_ctrl_c_ends_a_command_with_one_line(launcher: Path) -> None:
    done = run(launcher, "stop")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "✗ stopped\n")


def test_the_launchers_are_alike() -> None:
    form = (
        r'#!/usr/bin/env python3\n"""[^"]+"""\n\nimport _setup\n\n'
        r'_setup\.run\("scripts\.commands\.(\w+)", layer="(deploy|train|local|test)".*\)\n'
    )
    launchers = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix]
    for path in launchers:
        found = re.fullmatch(form, path.read_text())
        assert found, path
        assert found[1] == path.name
        assert os.access(path, os.X_OK)


@pytest.mark.slow
@pytest.mark.real
def test_a_real_set_up_ignores_settings_that_redirect_installers(tmp_path: Path) -> None:
    # Given a checkout, a missing home, and a shell whose settings redirect pip, npm and Python
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".*", "node_modules", "mlruns", "cdk.out", "tests", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    (tmp_path / "packages" / "idna").mkdir(parents=True)
    (tmp_path / "packages" / "idna" / "__init__.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "constraints.txt").write_text("boto3==1.0\n")
    redirected = {
        "HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path / "packages"), "PIP_USER": "1",
        "PIP_CONSTRAINT": str(tmp_path / "constraints.txt"), "PIP_TARGET": str(tmp_path / "target"),
        "PIP_PREFIX": str(tmp_path / "prefix"), "npm_config_global": "true",
    }  # fmt: skip
    # When a command of the small layer runs
    arguments = ("--env", "prod", "--json", "--release", "missing.json")
    done = run("scripts/cost", *arguments, cwd=checkout, **redirected)
    # Then it is set up and runs, everything lies in the checkout, and TensorFlow is not there
    assert done.stderr.splitlines()[-1].startswith("✗ --release missing.json"), done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"checkout", "packages", "constraints.txt"}
    assert not list(checkout.glob(".venv/lib/*/site-packages/tensorflow"))
    assert (checkout / "node_modules" / ".bin" / "cdk").exists()
