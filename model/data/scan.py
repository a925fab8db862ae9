"""One image file of a source, with what is known of it, and its tumour's outline."""

from __future__ import annotations

import errno
import hashlib
import math
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from container import imaging
from container.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

CLASSES = ("no", "yes")
"""Names of the class folders; a label is an index into them."""
REFUSE, REFUSED = "refuse", -1
"""Folder and label of images that are no brain MRI, from which the refusal is learnt."""
FEEDBACK = "feedback"
"""Name of the source that `scripts/retrain` makes of what was served. Its images are kept for a limited time
elsewhere, so no run and no artifact keeps one."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the upright image."""
_NAMED = 5  # files that a message names; of more it gives the count


class DataError(Exception):
    """The images cannot be trained on; the message says which and what to do."""


@dataclass(frozen=True)
class Scan:
    """One image file of a source, labelled 1 for yes, 0 for no, `REFUSED` for an image to refuse."""

    path: Path
    label: int
    sha256: str
    source: str = ""
    group: str | None = None  # of the manifest: a patient or case of this source
    plane: str | None = None
    contrast: str | None = None
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict, hash=False)  # such as level_matched
    mask_sha256: str = ""
    relative: str = ""  # path in the source's folder, with slashes
    qualified: bool = False  # whether the name begins with the source's

    @property
    def name(self) -> str:
        """Class folder and file name, such as ``yes/Y1.jpg``; among several sources ``source/yes/Y1.jpg``."""
        inside = self.relative or f"{self.path.parent.name}/{self.path.name}"
        return f"{self.source}/{inside}" if self.qualified else inside

    @property
    def kind(self) -> str:
        """Of an image to refuse, its folder in `refuse/`."""
        _, *folders, _ = self.relative.split("/")
        return folders[0] if folders else REFUSE

    def image(self) -> Image.Image:
        """Decode the file exactly as serving does."""
        return decode_file(self.path)[0]

    def colours(self) -> Image.Image:
        """Decode the file with its colours, as the rules of `container.rules` see it."""
        return imaging.read(read_file(self.path))

    def outline(self) -> Image.Image | None:
        """Draw the tumour: mode L, the size of `image()`, 255 inside and 0 elsewhere; None if unknown."""
        if self.mask:
            return decode_file(self.mask)[0].point([0] * 128 + [255] * 128)
        if not self.boxes:
            return None
        drawn = Image.new("L", self.image().size)
        for left, top, right, bottom in self.boxes:  # Pillow's rectangle includes its last row and column
            corners = (int(left), int(top), math.ceil(right) - 1, math.ceil(bottom) - 1)
            ImageDraw.Draw(drawn).rectangle(corners, fill=255)
        return drawn


def read_file(path: Path) -> bytes:
    """Read a regular file; anything else is an OSError, because a named pipe would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "It is no regular file", str(path))
    return path.read_bytes()


def decode_file(path: Path) -> tuple[Image.Image, str]:
    """Decode an image file as serving does; return also its SHA-256. Raises an OSError with the reason."""
    data = read_file(path)
    try:
        return imaging.decode(data), hashlib.sha256(data).hexdigest()
    except Problem as error:
        raise OSError(errno.EINVAL, error.detail, str(path)) from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn a file or folder that cannot be read into a `DataError`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror}.") from error


def listed(names: Collection[str]) -> str:
    """Name the first few, and count the others."""
    more = f"; and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return "; ".join(list(names)[:_NAMED]) + more


def check(wrong: Mapping[str, Collection[str]], what: str) -> None:
    """Raise a `DataError` that lists all that is wrong, by kind, unless nothing is."""
    if wrong:
        problems = ". ".join(f"{kind}: {listed(names)}" for kind, names in wrong.items())
        raise DataError(f"{what}. {problems}.")
