"""Where images come from and results go: a local folder, or a prefix of an S3 bucket."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Listed = tuple[str, int]  # a key and its size in bytes

S3 = "s3://"
THREADS = 16  # S3 answers each request in tens of milliseconds
_CHUNK = 1000  # calls that are under way or done and not yet taken: bounds memory
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Prefix:
    """The objects of a bucket whose keys begin with `prefix`, which is empty or ends with a slash."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{S3}{self.bucket}/{self.prefix}"

    def list(self, s3: Any, *, after: str = "") -> Iterator[Listed]:
        """Yield key and size of each object after a key, in their order, without marks of folders."""
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix, StartAfter=after
        )
        for page in pages:
            for each in page.get("Contents", []):
                if not each["Key"].endswith("/"):
                    yield each["Key"], each["Size"]


def parse(text: str) -> Prefix | Path:
    """Read an argument of the command line."""
    if not text.startswith(S3):
        return Path(text).expanduser().resolve()
    bucket, _, prefix = text.removeprefix(S3).partition("/")
    if not bucket:
        raise DeliveryError(f"{text}: write s3://BUCKET/PREFIX, or a folder.")
    return Prefix(bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else "")


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and those below it, in no order, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from files(Path(entry.path))
                elif entry.is_file():
                    yield Path(entry.path)
    except OSError as error:
        raise DeliveryError(f"{folder} cannot be read: {error.strerror}.") from error


def key_of(path: Path, folder: Path) -> str:
    """Return a file's path below a folder as part of a key, which is UTF-8."""
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DeliveryError(
            f"{os.fsencode(path)!r}: the name is not UTF-8, as keys of S3 are; rename it."
        ) from None
    return name


def chunks(items: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    """Yield lists of at most `size` items."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def mapped(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Call a function for each item on threads, and yield the results in order."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        for some in chunks(items):
            yield from pool.map(function, some)
    finally:  # Ctrl-C included
        pool.shutdown(wait=False, cancel_futures=True)
