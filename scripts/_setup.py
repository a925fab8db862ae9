"""Set up the environment that a command needs, then run the command in it.

uv installs `.venv` from the hash-locked files in `requirements/`, which bring Node along; npm installs the
CDK CLI from `package-lock.json`. A command installs its own layer and those below it, once. This file uses
the standard library only, and an older Python can read it to find or name a supported one.
"""

from __future__ import annotations

import _thread
import ast
import fcntl
import hashlib
import importlib
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMP = VENV / ".installed"
CDK = ROOT / "node_modules" / ".bin" / "cdk"
LOCAL = ROOT / ".local"
LAYERS = ("deploy", "train", "local", "test")  # requirements/NAME.txt each, on top of those before it
SUPPORTED = ("3.11", "3.12", "3.13")
PROBE = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
TAIL = 15  # lines of a failed command's output that are shown
SHOWN_EVERY_S = 15  # that a long step is still running

# Variables that change what pip, uv, npm and Python do, except those that say how to reach a package index.
_INSTALLER_VARIABLE = re.compile(
    r"(PIP|UV|NPM_CONFIG)_.*|PYTHON.*|VIRTUAL_ENV.*|CONDA_.*|NODE_(OPTIONS|PATH)", re.IGNORECASE
)
_NETWORK_VARIABLE = re.compile(
    r"(PIP|UV)_.*(INDEX|FIND_LINKS|HOST|CERT|TLS|PROXY|TIMEOUT|RETRIES|CACHE_DIR|KEYRING|MIRROR).*"
    r"|PIP_CONFIG_FILE|NPM_CONFIG_(.*REGISTRY|CA|CAFILE|CERT|KEY|.*PROXY|STRICT_SSL|CACHE|USERCONFIG|FETCH_.*|.*AUTH.*)",
    re.IGNORECASE,
)
_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_PROXY": "ALL_PROXY",
}
"""The variable of uv that corresponds to each of pip."""
_REPLACING_VARIABLES = ("PYTHONPATH", "PYTHONHOME")  # these would shadow what the environment holds
_CACHES = {
    "CDK_HOME": "cdk",
    "JSII_RUNTIME_PACKAGE_CACHE_ROOT": "jsii",
    "MPLCONFIGDIR": "matplotlib",
    "XDG_CACHE_HOME": "xdg",
    "npm_config_cache": "npm",
}


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def run(module: str, *, layer: str, without_setup: tuple[str, ...] = (), installs: bool = True) -> None:
    """Run a command in its environment, which is made or completed first, and exit with its status.

    The `main` of its module returns an exit status or None. `layer` is the highest of `LAYERS` that it needs;
    with a first argument of `without_setup` it needs the standard library only. Without
    `installs` no environment is made: where there is none, the command runs without it.
    """
    sys.unraisablehook = _interrupt_again
    try:
        supported = "{}.{}".format(*sys.version_info) in SUPPORTED
        bare = sys.argv[1:2] and sys.argv[1] in without_setup
        if not (supported and (bare or (not installs and not is_current(layer)))):
            _enter(layer)
        sys.path[0] = str(ROOT)  # instead of scripts/, where this file lies
        sys.exit(importlib.import_module(module).main())
    except SetupError as error:
        sys.exit(f"set-up: {error}")
    except KeyboardInterrupt:
        print("✗ stopped", file=sys.stderr)
        sys.exit(130)


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """Deliver Ctrl-C once more where Python lost it, as in a callback of an import or an executor."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.1, _thread.interrupt_main)
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)


def _enter(layer: str) -> None:
    """Install the layer unless it is there; return only within the environment."""
    if not is_current(layer):
        _install_alone(layer)
    adapt(os.environ)
    replacing = [name for name in _REPLACING_VARIABLES if os.environ.pop(name, None) is not None]
    if replacing or Path(sys.prefix) != VENV:
        os.execv(str(PYTHON), [str(PYTHON), *sys.argv])  # noqa: S606


def adapt(environment: MutableMapping[str, str]) -> None:
    """Put the environment's own tools first, and caches where they can be written."""
    tools = str(PYTHON.parent)
    path = environment.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != tools:
        environment["PATH"] = os.pathsep.join([tools, path])
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises for a user id without an entry
    if not os.access(str(home), os.W_OK | os.X_OK):
        for name, folder in _CACHES.items():
            environment.setdefault(name, str(LOCAL / "cache" / folder))
    if not home.is_dir():  # Node fails without one
        environment["HOME"] = str(LOCAL / "home")


def is_current(layer: str) -> bool:
    """Whether the environment was completed in this place, from these lock files, with this layer."""
    stamps = map(_stamp, LAYERS[LAYERS.index(layer) :])
    current = STAMP.is_file() and STAMP.read_text() in stamps
    return current and os.access(str(PYTHON), os.X_OK) and CDK.is_file()


def _stamp(layer: str) -> str:
    """Describe an environment: its layer, its place, which its scripts contain, and its lock files."""
    digest = hashlib.sha256()
    for path in [*_locks(layer), ROOT / "package-lock.json"]:
        digest.update(path.read_bytes())
    return f"{layer}\n{ROOT}\n{digest.hexdigest()}\n"


def _locks(layer: str) -> list[Path]:
    return [ROOT / "requirements" / f"{name}.txt" for name in LAYERS[: LAYERS.index(layer) + 1]]


def _install_alone(layer: str) -> None:
    """Install, unless another command that started at the same time has done so."""
    try:
        LOCAL.mkdir(exist_ok=True)
        with (LOCAL / "set-up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_current(layer):
                _install(layer)
    except KeyboardInterrupt:
        print("\nset-up: stopped; run the same command to start again.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        raise SetupError(
            f"{error}. The set-up writes .venv, node_modules and .local in {ROOT}: check its permissions and "
            "the disk's free space, then run the same command again."
        ) from None


def _install(layer: str) -> None:
    if VENV.is_symlink():  # a fresh start would delete what is installed there
        raise SetupError(f"{VENV} is a link to {VENV.resolve()}. Remove it, then run the same command again.")
    installed, _, rest = (STAMP.read_text() if STAMP.is_file() else "").partition("\n")
    # What a stopped installation left can look complete though files are missing.
    complete = installed in LAYERS and rest.startswith(f"{ROOT}\n")
    usable = complete and os.access(str(PYTHON), os.X_OK) and os.access(str(UV), os.X_OK)
    layer = max(layer, installed if installed in LAYERS else layer, key=LAYERS.index)
    STAMP.unlink(missing_ok=True)
    environment = installer_environment()
    if usable:
        _add_pip_configuration(environment)
    else:
        with _step("creating .venv"):
            _create(environment)
    with _step(f"installing Python packages ({layer})"):
        sync = [UV, "pip", "sync", "--python", PYTHON, "--require-hashes", "--only-binary", ":all:"]
        _run(*sync, *_locks(layer), environment=environment)
    with _step("installing the CDK CLI"):
        install = [VENV / "bin" / "npm", "ci", "--no-audit", "--no-fund", "--no-global", "--prefix", ROOT]
        _run(*install, "--include=dev", "--ignore-scripts", environment=environment)
    STAMP.write_text(_stamp(layer))


def _create(environment: dict[str, str]) -> None:
    """Create `.venv` with the locked uv, and read pip's configuration with its pip."""
    _run(base_python(environment), "-m", "venv", "--clear", VENV, environment=environment)
    _add_pip_configuration(environment)
    locked = re.search(r"^uv==(?:.*\\\n)*.*\n", _locks("deploy")[0].read_text(), re.MULTILINE)
    install = [PYTHON, "-m", "pip", "install", "--require-hashes", "--only-binary=:all:", "-r", "/dev/stdin"]
    without_configuration = {**environment, "PIP_CONFIG_FILE": os.devnull}
    _run(*install, environment=without_configuration, stdin=locked[0] if locked else "")


def installer_environment() -> dict[str, str]:
    """Return this process's environment without what changes how packages are installed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if _NETWORK_VARIABLE.fullmatch(name) or not _INSTALLER_VARIABLE.fullmatch(name)
    }
    adapt(kept)
    # Every index is searched: the hashes decide which file is accepted.
    kept.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return {**kept, "UV_NO_CONFIG": "1", "UV_SYSTEM_CERTS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _add_pip_configuration(environment: dict[str, str]) -> None:
    """Keep indexes, proxy and certificates of pip's configuration, for uv too, and nothing else of it."""
    for line in _run(PYTHON, "-m", "pip", "config", "list", environment=environment).splitlines():
        key, _, value = line.partition("=")
        name = "PIP_" + key.rpartition(".")[2].upper().replace("-", "_")
        if _NETWORK_VARIABLE.fullmatch(name):
            environment.setdefault(name, ast.literal_eval(value))
    for pip, uv in _FROM_PIP.items():
        if pip in environment:
            environment.setdefault(uv, environment[pip])


def base_python(environment: dict[str, str]) -> str:
    """Return a supported Python of this machine; a `SetupError` says what to install."""
    for candidate in _candidates():
        if _version(candidate, environment) in SUPPORTED:
            return candidate
    raise SetupError(
        f"no Python {' or '.join(SUPPORTED)} was found. Install one with its venv module (on Debian and "
        "Ubuntu, python3.11 and python3.11-venv), then run the same command again."
    )


def _candidates() -> Iterator[str]:
    yield getattr(sys, "_base_executable", sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))  # noqa: PTH111
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders += sorted(pyenv.glob("versions/*/bin"))
    for version in SUPPORTED:
        for folder in folders:
            if VENV not in folder.parents and (folder / f"python{version}").is_file():
                yield str(folder / f"python{version}")


def _version(python: str, environment: dict[str, str]) -> str:
    """Return a Python's version, or "" if it does not run (a pyenv shim) or cannot create environments."""
    try:
        found = subprocess.run(
            [python, "-c", PROBE],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30,
            check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def _run(*command: object, environment: dict[str, str], stdin: str = "") -> str:
    """Run a command and return its output; a `SetupError` has the end of it."""
    words = [str(part) for part in command]
    given: str | None = stdin
    with subprocess.Popen(
        words, cwd=str(ROOT), env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        while True:
            try:
                output, _ = process.communicate(given, timeout=SHOWN_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                given = None  # what was given is still being sent
                print("set-up: still running ...", file=sys.stderr, flush=True)
    if process.returncode:
        last = "\n".join(output.splitlines()[-TAIL:])
        raise SetupError(
            f"`{' '.join(words)}` failed:\n{last}\n"
            "Check the network and the disk's free space, then run the same command again. Package index, "
            "proxy and certificates come from environment variables and from pip's and npm's configuration."
        )
    return output


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Show a step of the set-up, and its time, on standard error."""
    began = time.monotonic()
    print(f"set-up: {title}: ...", file=sys.stderr, flush=True)
    yield
    print(f"set-up: {title}: done in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
