"""Answers as an environment gives them, as captured and as logged, and the reference of a training."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from model.training import reference as training
from scripts.monitoring.drift import Histograms, Reference, shifts
from scripts.monitoring.records import Record
from tests.emulator.cloud import archive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Values = dict[str, NDArray[Any]]

SHA256 = "5e" * 32
NOW = datetime.now(UTC)


def drawn(images: int, rng: np.random.Generator, *, contrast: float = 1.0) -> Values:
    """Draw statistics as of images: skewed, discrete and bounded ones among them."""
    return {
        "side": rng.choice([224.0, 256.0, 512.0, 630.0], images, p=[0.3, 0.3, 0.35, 0.05]),
        "grey_spread": contrast * rng.normal(0.21, 0.04, images),
        "sharpness": rng.lognormal(-3, 0.6, images),
        "symmetry": rng.beta(9, 1, images),
        "content": rng.beta(6, 4, images),
        "score": 1 - rng.beta(0.3, 8, images),
        "probability": rng.beta(0.4, 0.4, images),
        "format": rng.choice(["jpeg", "png"], images, p=[0.9, 0.1]),
    }


def reference(values: Values) -> bytes:
    """Write a training's `reference.json`, its images as two sources."""
    sources = np.where(np.arange(len(values["side"])) % 3, "first", "second")
    return json.dumps(training.histograms(values, sources)).encode()


def artifact(document: bytes | None) -> bytes:
    """Pack a model artifact with this reference, or without one."""
    return archive("reference.json", document) if document else archive("metadata.json", b"{}")


def rows(values: Values) -> list[dict[str, Any]]:
    """Return each image's statistics."""
    columns = (each.tolist() for each in values.values())
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


def histograms(known: Reference, values: Values) -> Histograms:
    """Count answers in a reference's bins."""
    counted = Histograms(known)
    for row in rows(values):
        counted.add(Record(id="any", time=NOW, model_sha256=SHA256, statistics=row))
    return counted


def verdicts(values: Values, known: Reference) -> dict[str, str]:
    """Judge answers by a reference."""
    return {each.statistic: each.verdict for each in shifts(histograms(known, values))}


def captured(
    statistics: dict[str, Any] | None, *, id_: str = "", sha256: str = SHA256, time: datetime = NOW
) -> dict[str, Any]:
    """Return one captured exchange as SageMaker writes it; without statistics, an older container's."""
    row = statistics or {"probability": 0.5}
    others = {name: each for name, each in row.items() if name != "probability"}
    answer = {
        "label": "YES" if row["probability"] >= 0.5 else "NO",
        "probability": row["probability"],
        "threshold": 0.5,
        "model": {"name": "tumor-detector", "version": "3", "sha256": sha256},
    } | ({"statistics": others} if statistics else {})
    output = {"mode": "OUTPUT", "data": json.dumps(answer), "encoding": "JSON"}
    about = {
        "eventId": str(uuid.uuid4()),
        "inferenceId": id_ or str(uuid.uuid4()),
        "inferenceTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {
        "captureData": {"endpointOutput": {"observedContentType": "application/json", **output}},
        "eventMetadata": about,
        "eventVersion": "0",
    }


def logged(statistics: dict[str, Any], *, id_: str = "", sha256: str = SHA256) -> dict[str, Any]:
    """Return the gateway's log line of one answer."""
    yes = statistics["probability"] >= 0.5
    counts = {"PredictionsYes": int(yes), "PredictionsNo": int(not yes), "Refusals": 0}
    return {
        "request_id": id_ or str(uuid.uuid4()),
        "status": 200,
        "watched": {**statistics, "model_sha256": sha256},
        **counts,
    }


def lines(documents: Iterable[object]) -> bytes:
    """Write JSON lines."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in documents)


def chosen(values: Values, indices: NDArray[np.int64]) -> Values:
    """Return some of the images, some of them repeatedly."""
    return {name: each[indices] for name, each in values.items()}
