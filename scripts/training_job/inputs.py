"""What a training job gets: images, and the training's source.

No other file of a data folder or of this repository is uploaded.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from infra.paths import ROOT
from model.data import outlines, phantom
from model.data import source as reading

FOLDERS = ("model", "container")
FILES = (
    "infra/__init__.py",
    "infra/paths.py",
    "scripts/cli.py",
    "scripts/commands/__init__.py",
    "scripts/commands/model_errors.py",
    "scripts/commands/train.py",
    "scripts/console.py",
    "scripts/training_job/__init__.py",
    "scripts/training_job/entry.py",
)
SOURCE_SUFFIXES = {".py", ".jinja", ".json", ".toml", ".md", ".txt"}
LOCK = "requirements/train.txt"  # universal: the Python of a SageMaker image may be newer than this one
REQUIREMENTS = "requirements.txt"


def link_images(folder: Path, *, channel: str, to: Path) -> None:
    """Link the files that training reads of a folder, of sources or outlines, into a new folder."""
    if channel.startswith("data"):
        found = [folder / phantom.MARKER, *_files_of_sources(folder)]  # it marks a folder of phantoms
    else:
        found = outlines.files(folder, loose=True)
    for path in dict.fromkeys(filter(Path.is_file, found)):
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)


def _files_of_sources(folder: Path) -> list[Path]:
    found = []
    for each in reading.find(folder):
        found += [each / phantom.MARKER, *reading.read(each, name=each.name, qualified=False).files]
    return found


def pack_source(to: Path) -> None:
    """Copy the training's source, and its locked packages as `requirements.txt`, to a new folder."""
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if _is_source(path)]
    for path in (*sources, *(ROOT / name for name in FILES)):
        target = to / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(ROOT / LOCK, to / REQUIREMENTS)


def _is_source(path: Path) -> bool:
    """Whether a file is source, and not an image or a network that was left in a source folder."""
    hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
    return path.is_file() and path.suffix in SOURCE_SUFFIXES and not hidden
