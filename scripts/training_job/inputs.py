"""What a training job gets: images, which are checked before it costs anything, and the training's source.

No other file of a data folder or of this repository is uploaded.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from infra.paths import ROOT
from model.data import dataset, outlines, phantom
from model.data import source as reading
from model.data.scan import CLASSES, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import boto3

S3 = "s3://"
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
    "scripts/training_job/job.py",
)
SOURCE_SUFFIXES = {".py", ".jinja", ".json", ".toml", ".md", ".txt"}
LOCK = "requirements/train.txt"  # universal: the Python of a SageMaker image may be newer than this one
REQUIREMENTS = "requirements.txt"


def name_of(source: str) -> str:
    """Return the last part of a folder's path or an S3 prefix, which names the data set in runs and cards."""
    return (Path(source) if source.startswith(S3) else Path(source).expanduser().resolve()).name


def as_prefix(source: str) -> str:
    """End an S3 prefix with a slash: `s3://b/set` would include `s3://b/set-2`."""
    return source.rstrip("/") + "/"


def problems(sources: Mapping[str, str], *, fetching: bool, session: boto3.Session) -> list[str]:
    """Return why a job cannot train on the folders or S3 prefixes of its channels.

    A job that is `fetching` sets too may find there the class that these lack.
    """
    found = []
    alone = "data_2" not in sources and not fetching
    local: dict[str, list[Path]] = {"data": [], "masks": []}
    for channel, source in sources.items():
        option = channel.partition("_")[0]
        if source.startswith(S3):
            found += _problems_of_prefix(source, option=option, alone=alone, session=session)
        else:
            local[option].append(Path(source))
    try:
        if local["data"] and not fetching and len(sources) == sum(map(len, local.values())):
            dataset.load(local["data"], local["masks"])
        else:  # what is not here may have the other class, or the images of the outlines
            for folder in local["data"]:
                _files_of_sources(folder)
    except DataError as error:
        found.append(f"--data: {error}")
    return found


def _problems_of_prefix(source: str, *, option: str, alone: bool, session: boto3.Session) -> list[str]:
    bucket, _, prefix = as_prefix(source).removeprefix(S3).partition("/")
    try:
        found = session.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "AccessDenied":
            return []  # the job's role may read what this caller may not
        return [f"--{option}: {source} cannot be read: {error}"]
    folders = {each["Prefix"].removeprefix(prefix)[:-1].lower() for each in found.get("CommonPrefixes", ())}
    missing: list[str] = []
    if option == "masks":
        missing = [] if found["KeyCount"] else ["outlines"]
    elif not folders or (alone and folders & {*CLASSES}):  # others hold sources, or four classes
        missing = sorted({*CLASSES} - folders)
    return [f"--{option}: {source} has no {' and no '.join(missing)}."] if missing else []


def link_images(source: str, *, channel: str, to: Path) -> None:
    """Link the files that training reads of a local folder, of sources or outlines, into a new folder."""
    folder = Path(source).expanduser().resolve()
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
