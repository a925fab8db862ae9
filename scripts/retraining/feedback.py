"""Captured images joined with their labels into a source of their own, for the time of one training."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from infra.lambdas.gateway.request_ids import ID_FORM
from infra.paths import ROOT
from model.data.scan import FEEDBACK
from scripts.console import detail, step
from scripts.monitoring import labels as live_labels
from scripts.monitoring.records import records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from infra.config import Settings
    from scripts.monitoring.records import Record

FOLDER = ROOT / ".local" / "feedback"
LEAST = 10
"""Images of each class that make a source: on fewer, no figure of it could be told from chance, and the
means over sources would be those of chance."""


@dataclass
class Joined:
    """Labelled images by their hash, and why others were left out."""

    files: dict[str, Path] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def join(
    found: Iterable[Record], agreed: Mapping[str, str | None], *, to: Path, known: Collection[str] = ()
) -> Joined:
    """Write each captured image with a label on which all agree into `to`/yes or `to`/no.

    `known` are hashes of images that a training has anyway: with their own labels, and in their own source.
    """
    joined, missing, disputed = Joined(), set(agreed), set[str]()
    for record in found:
        if record.id not in agreed or record.image is None or not ID_FORM.fullmatch(record.id):
            continue  # nothing to join, or an id that cannot name a file
        missing.discard(record.id)
        label, sha256 = agreed[record.id], hashlib.sha256(record.image).hexdigest()
        if label is None or sha256 in disputed:
            joined.left_out["on whose label people disagree"] += 1
        elif sha256 in known:
            joined.left_out["that the data has already"] += 1
        elif before := joined.files.get(sha256):
            if before.parent.name != label.lower():  # the same image, labelled twice
                before.unlink()
                del joined.files[sha256]
                disputed.add(sha256)
                joined.left_out["on whose label people disagree"] += 2
        else:
            path = to / label.lower() / record.id
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(record.image)
            joined.files[sha256] = path
    if missing:
        joined.left_out["not captured, or expired"] += len(missing)
    return joined


@contextmanager
def collected(settings: Settings, *, known: Collection[str] = ()) -> Iterator[Joined]:
    """Yield the environment's labelled images in a folder that is called as their source is.

    The folder is made anew and removed at the end, so that nothing here outlives the retention of the
    bucket of captures. With fewer than `LEAST` images of a class there are none.
    """
    capture = settings.data_capture
    folder = FOLDER / settings.environment / FEEDBACK
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    if capture is None or not {"input", "output"} <= {*capture.what} or not settings.feedback:
        detail("  no feedback: it takes [feedback], and [hosting.data_capture] with input and output")
        yield Joined()
        return
    try:
        with step("reading labels and captured images"):
            since = datetime.now(UTC) - timedelta(days=capture.expire_days)
            found = records(settings, since=since, images=True)
            agreed = live_labels.consensus(live_labels.read(settings, found.faults))
            joined = join(found, agreed, to=folder, known=known)
        for line in [*found.faults.lines(), *(f"{count} {why}" for why, count in joined.left_out.items())]:
            detail(f"  left out: {line}")
        counts = Counter(path.parent.name for path in joined.files.values())
        detail(f"  {FEEDBACK}: {counts['yes']} yes, {counts['no']} no")
        if joined.files and min(counts["yes"], counts["no"]) < LEAST:
            detail(f"  too few: {LEAST} of each class make a source; trained without")
            joined = Joined()
        yield joined
    finally:
        shutil.rmtree(folder, ignore_errors=True)
