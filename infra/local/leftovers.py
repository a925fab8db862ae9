"""What an emulator leaves when it is killed before it could remove it: files, containers, networks."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import stat
from typing import TYPE_CHECKING

from infra.local.docker import docker

if TYPE_CHECKING:
    from pathlib import Path

_LABEL = "tumor-detector.laptop"


def label(process: int) -> str:
    """Return what marks containers and networks of an emulator, by its process id.

    The host's name is part of it: several hosts, themselves containers, can share one Docker engine.
    """
    return f"{_LABEL}={platform.node()}/{process}"


def remove_files(directory: Path) -> None:
    """Remove a directory with all in it, models that nothing can write to included."""
    for folder in [directory, *(path for path in directory.rglob("*") if path.is_dir())]:
        with contextlib.suppress(OSError):
            folder.chmod(stat.S_IRWXU)  # else only root could remove what is in it
    shutil.rmtree(directory, ignore_errors=True)


def remove_containers(*, of: int | None = None) -> None:
    """Remove the containers and networks of every emulator that no longer runs on this host.

    Parameters
    ----------
    of
        The process id of an emulator that is known to be gone, whoever has that id now.
    """
    for listing, removal in (("ps --all", "rm --force"), ("network ls", "network rm")):
        shown = f'{{{{.ID}}}} {{{{.Label "{_LABEL}"}}}}'
        found = docker(*listing.split(), "--filter", f"label={_LABEL}", "--format", shown).stdout
        for line in found.splitlines():
            identifier, _, owner = line.partition(" ")
            host, _, process = owner.rpartition("/")
            if host == platform.node() and (int(process) == of or not _runs(int(process))):
                docker(*removal.split(), identifier)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True
