"""What an environment answered: one record an answer, from captured data or from the gateway's log.

SageMaker captures for real-time endpoints only. Elsewhere, or where capture is off, the gateway's log has the
same statistics, without the images. Faulty lines and files are counted and named, and the rest is read.

Whether SageMaker captures answers that are not 2xx is **unverified on AWS**; they are passed over here, and
the gateway's metrics count refusals.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from infra import names
from infra.lambdas.gateway import metrics
from scripts.console import DeliveryError, progress
from scripts.delivery.aws import stack_outputs
from scripts.transform.run import THREADS, Prefix, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from infra.config import Settings

NUMBERS = ("side", "grey_spread", "sharpness", "symmetry", "content", "score", "probability")
WORDS = ("format",)
"""Of the decoded image, the refusal score and the probability of a tumour."""

_CLOCKS = timedelta(hours=1)  # by which SageMaker's clock and the containers' may differ
_READ_WHOLE_BYTES = 4 * 2**20  # larger files are read line by line, at their turn
_AHEAD = 8  # files that are read whole before their turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One answered request; `statistics` has `NUMBERS` and `WORDS`, `image` what was sent, if captured.

    `label` is the answer's own, YES or NO, not what a person says of it.
    """

    id: str
    time: datetime
    model_sha256: str
    statistics: Mapping[str, float | str]
    image: bytes | None = None
    label: str | None = None


@dataclass
class Faults:
    """What could not be used: how often by its reason, and where that was seen. Threads may add to it."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, reason: str, where: str) -> None:
        """Count one line or file."""
        with self._lock:
            self.counts[reason] += 1
            self.first.setdefault(reason, where)

    def lines(self) -> list[str]:
        """Return a line for each reason, the most frequent first."""
        return [
            f"{count} {reason}, first in {self.first[reason]}" for reason, count in self.counts.most_common()
        ]


class _NoStatisticsError(Exception):
    """An answer has no statistics, as those of older containers."""


@dataclass
class Answers:
    """The answers of an environment at some place, which are read again whenever they are iterated.

    `lines` takes the faults and yields where each line is that may hold an answer, and the line.
    """

    place: str
    lines: Callable[[Faults], Iterable[tuple[str, Any]]]
    parse: Callable[[Any], Record | None]
    faults: Faults = field(default_factory=Faults)

    def __str__(self) -> str:
        return self.place

    def __iter__(self) -> Iterator[Record]:
        """Yield the record of each line that has one; a line that cannot be read is a fault."""
        for where, line in self.lines(self.faults):
            try:
                record = self.parse(line)
            except _NoStatisticsError:
                self.faults.add("answers without statistics", where)
            except (ValueError, RecursionError):
                self.faults.add("lines that are not JSON or cut short", where)
            except (KeyError, TypeError, AttributeError):
                self.faults.add("lines of another schema", where)
            else:
                if record:
                    yield record


def records(
    settings: Settings, *, since: datetime, images: bool = False, variant: str = names.VARIANT_NAME
) -> Answers:
    """Return what the settings' way to watch has of the answers since a time.

    With `images` the records have the images too, where the settings capture the input. `variant` is the one
    that answered, which only captured answers tell.
    """
    environment, endpoint, capture = settings.environment, settings.endpoint_name, settings.data_capture
    if capture is None or not settings.captures_answers:
        place = f"the log of {names.function(environment)}"
        return Answers(place, lambda _: _log_events(environment, since), _logged)
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = names.bucket(environment, "sample", account=account, region=settings.region)
    # SageMaker adds the endpoint, the variant and the hour.
    lines = partial(_captured_lines, bucket, f"{endpoint}/{endpoint}/{variant}/", since)
    parse = partial(_captured, since=since, images=images and "input" in capture.what)
    return Answers(f"captured answers in s3://{bucket}/{endpoint}/ of {variant}", lines, parse)


def _captured_lines(bucket: str, prefix: str, since: datetime, faults: Faults) -> Iterator[tuple[str, bytes]]:
    """Yield each captured line and where it is, in the order of their hours; small files are read ahead."""
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))
    start = f"{prefix}{since - _CLOCKS:%Y/%m/%d/%H}"  # which sorts as time does

    def lines_of(key: str) -> Iterator[tuple[str, bytes]]:
        """Yield a file's lines; one that cannot be read to its end is a fault."""
        number = 0
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
            for number, line in enumerate(body.iter_lines(2**20), start=1):
                yield f"{key}:{number}", line
        except client.exceptions.NoSuchKey:
            faults.add("files that expired meanwhile", key)
        except BotoCoreError:
            faults.add("files that ended early", f"{key}:{number}")

    def read(file: tuple[str, int]) -> Iterable[tuple[str, bytes]]:
        key, size = file
        return list(lines_of(key)) if size <= _READ_WHOLE_BYTES else lines_of(key)

    found = objects(client, bucket, prefix, setting="[hosting.data_capture]", after=start)
    for number, lines in enumerate(mapped(read, found, ahead=_AHEAD)):
        progress(f"{number} files")
        yield from lines


def objects(
    client: Any, bucket: str, prefix: str, *, setting: str, after: str = ""
) -> Iterator[tuple[str, int]]:
    """Yield key and size of each object below a prefix of the bucket that a setting asks for."""
    try:
        yield from Prefix(bucket, prefix).list(client, after=after)
    except client.exceptions.NoSuchBucket:
        raise DeliveryError(
            f"There is no bucket {bucket}. {setting} is set: was the registry stack deployed since?"
        ) from None


def _log_events(environment: str, since: datetime) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each line of the gateway's log with an answer, and where it is."""
    stack = names.stack(environment, "gateway")
    group = stack_outputs(stack).get("LogGroupName")
    if group is None:
        raise DeliveryError(f"Stack {stack} does not name its log group: deploy it again.")
    client = boto3.client("logs")
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        startTime=int(since.timestamp() * 1000),
        filterPattern="{ $.watched.probability >= 0 }",
        PaginationConfig={"PageSize": 10_000},
    )
    read = 0
    for page in pages:
        yield from ((f"{each['logStreamName']} at {each['timestamp']}", each) for each in page["events"])
        read += len(page["events"])
        progress(f"{read} answers")


def _captured(line: bytes, *, since: datetime, images: bool) -> Record | None:
    """Read a captured line; None for what is not watched: refusals, golden answers and earlier ones."""
    document = json.loads(line)
    data, about = document["captureData"], document["eventMetadata"]
    id_ = about.get("inferenceId") or about["eventId"]
    if id_.startswith(metrics.UNCOUNTED):
        return None
    answer = json.loads(_decoded(data["endpointOutput"]))
    if "label" not in answer:
        return None
    image = _decoded(data["endpointInput"]) if images and "endpointInput" in data else None
    sha256, time = answer["model"]["sha256"], datetime.fromisoformat(about["inferenceTime"])
    if answer.get("statistics") is None:
        raise _NoStatisticsError
    statistics = {**answer["statistics"], "probability": answer["probability"]}
    record = _record(id_, time, sha256, statistics, label=answer["label"], image=image)
    return record if time >= since else None


def _logged(event: Mapping[str, Any]) -> Record | None:
    """Read a log event; None for what is no watched answer."""
    try:
        line = json.loads(event["message"])
    except (ValueError, RecursionError):
        return None  # of Lambda itself
    if not isinstance(line, dict) or line.get("watched") is None:  # which a refusal has not
        return None
    found, label = line["watched"], "YES" if line[metrics.YES] else "NO"
    id_ = found.get("request_id", line["request_id"])  # the former of a prediction that is answered later
    if id_.startswith(metrics.UNCOUNTED):
        return None
    time = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    return _record(id_, time, found["model_sha256"], found, label=label)


def _record(
    id_: str, time: datetime, sha256: object, found: Any, *, label: str, image: bytes | None = None
) -> Record:
    finite = all(math.isfinite(found[name]) for name in NUMBERS)  # TypeError for what is no number
    text = isinstance(sha256, str) and all(isinstance(found[name], str) for name in WORDS)
    if not finite or not text or time.tzinfo is None:
        raise TypeError("another schema")
    statistics = {name: float(found[name]) for name in NUMBERS} | {name: found[name] for name in WORDS}
    return Record(
        id=id_, time=time, model_sha256=str(sha256), statistics=statistics, image=image, label=label
    )


def _decoded(side: Mapping[str, str]) -> bytes:
    """Return what one side of a captured exchange holds."""
    if side["encoding"] != "BASE64":
        return side["data"].encode()
    return base64.b64decode(side["data"], validate=True)
