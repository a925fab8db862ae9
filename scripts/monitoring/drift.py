"""Whether what a model was sent differs from what it was trained on, by its reference histograms.

Two measures of the same bins must agree: the population stability index, which says how much moved, and the
Kolmogorov-Smirnov distance. Under no change the index of n images against a reference of m, divided by
1/n + 1/m, is close to chi-squared with one degree of freedom less than it has bins: that gives the index
which chance alone reaches. The distance's tail is that of Kolmogorov's distribution, which bins only lower.
"""

from __future__ import annotations

import json
import math
import tarfile
from bisect import bisect_right
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.stats import chi2, kstwobign

from scripts.monitoring.records import NUMBERS, WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scripts.monitoring.records import Record

    Counts = NDArray[np.int64]

FILE = "reference.json"
SCHEMA = 1
SHIFT = 0.1  # an index from which a shift is commonly called one
LARGE_SHIFT = 0.25  # likewise a large one: where chance alone reaches it, nothing can be told
FAMILY_ERROR = 0.01  # chance of any false alarm in one run, over all statistics of all models
BINS = 10  # of the index: more would need more images
BIN_IMAGES = 20  # of the reference that a bin should have

Direction = Literal["higher", "lower", "other"]
Verdict = Literal["drift", "no drift", "too few"]


class NoReferenceError(Exception):
    """An artifact holds no usable reference; the text says why."""


@dataclass(frozen=True)
class Reference:
    """Counts of training images by statistic: bin i holds edges[i-1] <= x < edges[i], or one word.

    The last bin of a word is for every other one.
    """

    edges: Mapping[str, Sequence[float]]
    words: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, Counts]

    @classmethod
    def parse(cls, document: bytes) -> Reference:
        """Read `reference.json`, adding up its sources."""
        try:
            content = json.loads(document)
            if content["schema"] != SCHEMA:
                raise NoReferenceError(f"{FILE} has schema {content['schema']!r}, not {SCHEMA}")
            found = content["statistics"]
            edges = {name: [float(edge) for edge in found[name]["edges"]] for name in NUMBERS}
            words = {name: tuple(found[name]["values"]) for name in WORDS}
            sums = {name: np.sum([*found[name]["counts"].values()], axis=0) for name in (*NUMBERS, *WORDS)}
            counts = {name: np.array(each, dtype=np.int64) for name, each in sums.items()}
            counts |= {name: np.append(counts[name], 0) for name in WORDS}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoReferenceError(f"{FILE} is malformed") from error
        sizes = {name: len(each) + 1 for name, each in (edges | words).items()}
        if any(each.shape != (sizes[name],) or not each.sum() for name, each in counts.items()):
            raise NoReferenceError(f"{FILE} is malformed")
        return cls(edges, words, counts)

    def bin(self, name: str, value: float | str) -> int:
        """Return the bin of a value of a statistic."""
        if name in self.edges:
            return bisect_right(self.edges[name], value)
        known = self.words[name]
        return known.index(value) if value in known else len(known)


def reference_of(archive: IO[bytes]) -> Reference:
    """Read the reference of a model artifact."""
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as members:
            for member in members:
                if member.name.removeprefix("./") == FILE and (file := members.extractfile(member)):
                    return Reference.parse(file.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NoReferenceError(f"the artifact is no model.tar.gz: {error}") from error
    raise NoReferenceError(f"the artifact has no {FILE}: the model was trained before there was one")


class Histograms:
    """Counts one model's records in its reference's bins; a million need no more memory than one."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._counts = {name: [0] * len(counts) for name, counts in reference.counts.items()}

    @property
    def counts(self) -> Mapping[str, Counts]:
        """The counts of each statistic."""
        return {name: np.array(counts) for name, counts in self._counts.items()}

    def add(self, record: Record) -> None:
        """Count one record."""
        for name, counts in self._counts.items():
            counts[self.reference.bin(name, record.statistics[name])] += 1


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How one statistic of one model's answers differs from its reference.

    `by_chance` is the index that no change reaches only with the allowed error; `p_value` is that of
    Kolmogorov and Smirnov, None for words; `enough` the images from which a large shift can be told, None
    where the reference itself is too small for that.
    """

    statistic: str
    images: int
    index: float
    by_chance: float
    p_value: float | None
    direction: Direction
    verdict: Verdict
    enough: int | None


def shifts(histograms: Histograms, *, models: int = 1) -> list[Shift]:
    """Compare each statistic with the reference, with one allowed error for all of them and all models."""
    known = histograms.reference.counts
    error = FAMILY_ERROR / (len(known) * models)
    return [_shift(name, known[name], live, error) for name, live in histograms.counts.items()]


def _shift(name: str, known: Counts, live: Counts, error: float) -> Shift:
    images, trained = int(live.sum()), int(known.sum())
    groups = merged(known) if name in NUMBERS else np.arange(len(known))
    limit = float(chi2.isf(error, max(1, groups[-1])))
    by_chance = limit * (1 / max(1, images) + 1 / trained)
    index = stability_index(np.bincount(groups, known), np.bincount(groups, live))
    p_value = None
    direction: Direction = "other"
    if name in NUMBERS and images:
        gaps = np.cumsum(known) / trained - np.cumsum(live) / images
        largest = float(gaps[np.abs(gaps).argmax()])
        direction = "higher" if largest > 0 else "lower"
        p_value = float(kstwobign.sf(abs(largest) * math.sqrt(images * trained / (images + trained))))
    verdict: Verdict = "no drift"
    if by_chance > LARGE_SHIFT:
        verdict = "too few"
    elif index >= SHIFT and index > by_chance and (p_value is None or p_value < error):
        verdict = "drift"
    spare = LARGE_SHIFT / limit - 1 / trained
    return Shift(
        statistic=name,
        images=images,
        index=index,
        by_chance=by_chance,
        p_value=p_value,
        direction=direction,
        verdict=verdict,
        enough=math.ceil(1 / spare) if spare > 0 else None,
    )


def stability_index(known: NDArray[Any], live: NDArray[Any]) -> float:
    """Return the population stability index of two histograms, each with half an image added to a bin."""
    expected, found = ((each + 0.5) / (each.sum() + 0.5 * len(each)) for each in (known, live))
    return float(np.sum((found - expected) * np.log(found / expected)))


def merged(counts: Counts) -> Counts:
    """Return the group of each bin: about `BINS` neighbouring groups of nearly equal share.

    A bin that alone has the share of several, as of a constant statistic, stays alone, also beside bins that
    are empty: whatever falls into those is new.
    """
    share = counts.sum() / min(max(counts.sum() // BIN_IMAGES, 3), BINS)
    groups, held = [0], counts[0]
    for count in counts[1:]:
        ends = held + count / 2 > share
        groups.append(groups[-1] + ends)
        held = count if ends else held + count
    return np.array(groups, dtype=np.int64)
