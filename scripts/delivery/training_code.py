"""What a training job gets of this repository: the training's source and the packages that it needs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from scripts.delivery.console import DeliveryError

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("model", "container")
FILES = (
    "scripts/train",
    "scripts/delivery/__init__.py",
    "scripts/delivery/console.py",
    "scripts/delivery/training_entry.py",
    "scripts/delivery/training_job.py",
)
SET_UP = ("scripts/delivery/training_setup.py", "scripts/_setup.py")  # from, to
SOURCE_SUFFIXES = {".py", ".json", ".toml", ".md", ".txt"}
"""An image or a network that somebody left in a source folder is not uploaded."""
REQUIREMENTS = "requirements.txt"
PARTS = ("Training", "Serving")
"""The parts of requirements.in that training imports; serving's hold the runtime of the exported network."""
ALWAYS = ("boto3",)  # MLflow's artifacts may lie in S3
FOR_MANAGED_MLFLOW = "sagemaker-mlflow"
"""The plug-in by which MLflow takes an ARN as its tracking URI. Unverified on AWS."""


def pack(to: Path, *, managed_mlflow: bool) -> None:
    """Copy the training's source into a folder and write its `requirements.txt` there.

    Parameters
    ----------
    to
        An empty folder; in the job it is the working folder.
    managed_mlflow
        Whether the tracking URI is the ARN of SageMaker's own MLflow.
    """
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if _is_source(path.relative_to(ROOT)) and path.is_file():
                _copy(path, to / path.relative_to(ROOT))
    for name in FILES:
        _copy(ROOT / name, to / name)
    source, target = SET_UP
    _copy(ROOT / source, to / target)
    (to / REQUIREMENTS).write_text(requirements(managed_mlflow=managed_mlflow))


def _is_source(path: Path) -> bool:
    hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
    return path.suffix in SOURCE_SUFFIXES and not hidden


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def requirements(*, managed_mlflow: bool) -> str:
    """Choose from `requirements.lock`, with versions and hashes, what training needs, and what that needs.

    The lock was resolved for Python 3.11, and images of SageMaker may have a newer one; its hashes are of all
    wheels of a version, so that those for the newer Python are taken. Unverified on AWS.

    Raises
    ------
    DeliveryError
        If a package that training needs is not in the lock.
    """
    locked = _locked()
    plugin = [FOR_MANAGED_MLFLOW] if managed_mlflow else []
    roots = {*_of_training(), *ALWAYS, *plugin}
    if missing := sorted(roots - set(locked)):
        raise DeliveryError(f"requirements.lock has no {', '.join(missing)}: run `scripts/lock`.")
    chosen = set[str]()
    fresh = roots
    while fresh:
        chosen |= fresh
        fresh = {name for name, (_, needed_by) in locked.items() if needed_by & chosen} - chosen
    return "".join(block for name, (block, _) in locked.items() if name in chosen)


def _locked() -> dict[str, tuple[str, set[str]]]:
    """Each package of the lock: its lines without comments, and which packages ask for it."""
    locked = {}
    for block in re.split(r"^(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE):
        if name := re.match(r"[\w.-]+(?=(\[.*?\])?==)", block):
            lines = block.splitlines(keepends=True)
            comments = [line.strip().removeprefix("#").strip() for line in lines if line.startswith("    #")]
            asking = {_normal(comment.removeprefix("via").strip()) for comment in comments} - {""}
            pinned = "".join(line for line in lines if not line.lstrip().startswith("#"))
            locked[_normal(name[0])] = (pinned, asking)
    return locked


def _of_training() -> set[str]:
    """Return the packages that requirements.in names under its headings for training and serving."""
    names, wanted = set[str](), False
    for line in (ROOT / "requirements.in").read_text().splitlines():
        if line.startswith("#"):
            wanted = line.removeprefix("#").strip().startswith(PARTS)
        elif wanted and (name := re.match(r"[\w.-]+", line)):
            names.add(_normal(name[0]))
    return names


def _normal(name: str) -> str:
    """Write a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
