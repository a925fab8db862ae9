"""Containers and networks of an emulator that was killed before it could remove them."""

from __future__ import annotations

import os
import subprocess

LABEL = "tumor-detector.laptop"  # on each of them; its value is the emulator's process id


def remove(*, of: int | None = None) -> None:
    """Remove what no running emulator owns.

    Parameters
    ----------
    of
        The process id of an emulator that is known to be gone, whoever has that id now.
    """
    for listing, removal in (("ps --all", "rm --force"), ("network ls", "network rm")):
        fields = f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}'
        for line in _docker(*listing.split(), "--filter", f"label={LABEL}", "--format", fields).splitlines():
            identifier, owner = line.split()
            if int(owner) == of or not _runs(int(owner)):
                _docker(*removal.split(), identifier)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False).stdout
