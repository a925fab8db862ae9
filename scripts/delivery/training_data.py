"""The images of a training job: checked before it is paid for, uploaded without what lies beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from model import data, phantom, pretrain

if TYPE_CHECKING:
    import boto3

S3 = "s3://"


def name_of(source: str) -> str:
    """Return the last part of a folder's path or of an S3 prefix: what runs and cards call the data set."""
    return (
        source.rstrip("/").rsplit("/", 1)[-1]
        if source.startswith(S3)
        else Path(source).expanduser().resolve().name
    )


def problems(source: str, *, channel: str, session: boto3.Session) -> list[str]:
    """Say what keeps a job from training on this folder or S3 prefix."""
    if source.startswith(S3):
        return _problems_of_prefix(source, channel=channel, session=session)
    if source.startswith(pretrain.KAGGLE):
        return [
            f"--{channel}: {source} is fetched here only. Download it and name its folder, or put it on S3."
        ]
    try:
        data.load(Path(source)) if channel == "data" else pretrain.load(Path(source))
    except data.DataError as error:
        return [f"--{channel}: {error}"]
    return []


def _problems_of_prefix(source: str, *, channel: str, session: boto3.Session) -> list[str]:
    bucket, _, prefix = as_prefix(source).removeprefix(S3).partition("/")
    try:
        found = session.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "AccessDenied":
            return []  # the job's role may read what this caller may not
        return [f"--{channel}: {source} cannot be read: {error}"]
    folders = {each["Prefix"].removeprefix(prefix)[:-1].lower() for each in found.get("CommonPrefixes", ())}
    missing = (
        sorted(set(data.CLASSES) - folders) if channel == "data" else [] if folders else ["class folders"]
    )
    return [f"--{channel}: {source} has no {' and no '.join(missing)}."] if missing else []


def as_prefix(source: str) -> str:
    """End an S3 prefix with a slash: without it `s3://b/set` would take in `s3://b/set-2` as well."""
    return source.rstrip("/") + "/"


def link(source: str, *, channel: str, to: Path) -> None:
    """Show in a folder, as links, the files of a local folder that training would look at, and no other.

    Parameters
    ----------
    channel
        ``data`` has files directly in yes/ and no/, ``pretrain`` has folders of folders.
    to
        A folder that does not exist yet.
    """
    folder = Path(source).expanduser().resolve()
    marker = folder / phantom.MARKER  # it tells drawings from images
    found = [marker] if marker.is_file() else []
    if channel == "data":
        for classes in (path for path in folder.iterdir() if path.name.lower() in data.CLASSES):
            found += [path for path in classes.iterdir() if not path.name.startswith(".")]
    else:
        found += [path for path in folder.rglob("*/*") if not _hidden(path.relative_to(folder))]
    for path in found:
        if path.is_file():
            target = to / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
