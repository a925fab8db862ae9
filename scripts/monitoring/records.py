"""What an environment answered: one record an answer, from captured data or from the gateway's log.

SageMaker captures for real-time endpoints only. Elsewhere, or where capture is off, the gateway's log has the
same statistics, without the images. Faulty lines and files are counted and named, and the rest is read.

Whether SageMaker captures answers that are not 2xx is **unverified on AWS**; they are passed over here, and
the gateway's metrics count refusals.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra import names
from infra.lambdas.gateway import metrics
from scripts.console import DeliveryError, progress
from scripts.delivery.aws import stack_outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infra.config import Settings

NUMBERS = ("side", "grey_spread", "sharpness", "symmetry", "content", "score", "probability")
WORDS = ("format",)
"""Of the decoded image, the refusal score and the probability of a tumour."""

_CLOCKS = timedelta(hours=1)  # by which SageMaker's clock and the containers' may differ
_READERS = 8  # S3 answers each in tens of milliseconds
_AHEAD_BYTES = 32 * 2**20  # of files that are read before their turn; larger ones are read one at a time
_SHOWN_EVERY = 10_000


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
    """What could not be used: how often by its reason, and where that was seen first."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, where: str) -> None:
        """Count one line or file."""
        self.counts[reason] += 1
        self.first.setdefault(reason, where)

    def lines(self) -> list[str]:
        """Return a line for each reason, the most frequent first."""
        return [
            f"{count} {reason}, first in {self.first[reason]}" for reason, count in self.counts.most_common()
        ]


class _RecordError(ValueError):
    """A line is no record; the text says why, as `Faults` counts it."""


@dataclass
class Captured:
    """The answers that SageMaker captured since a time, and with `images` what was sent."""

    bucket: str
    endpoint: str
    since: datetime
    images: bool = False
    faults: Faults = field(default_factory=Faults)

    def __str__(self) -> str:
        return f"captured answers in s3://{self.bucket}/{self.endpoint}/"

    def __iter__(self) -> Iterator[Record]:
        for key, lines in self._files():
            number = 0
            try:
                for number, line in enumerate(lines, start=1):
                    try:
                        record = _captured(line, images=self.images)
                    except _RecordError as error:
                        self.faults.add(str(error), f"{key}:{number}")
                        continue
                    if record and record.time >= self.since:
                        yield record
            except BotoCoreError:  # while a large file is read
                self.faults.add("files that ended early", f"{key}:{number}")

    def _files(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield each file's lines, in the order of their hours; small ones are read ahead."""
        client = boto3.client("s3", config=Config(max_pool_connections=_READERS))
        pending: deque[tuple[str, int, Any]] = deque()
        read = 0
        pool = ThreadPoolExecutor(_READERS)
        try:
            for key, size in self._keys(client):
                while pending and (
                    len(pending) >= 2 * _READERS or sum(each[1] for each in pending) + size > _AHEAD_BYTES
                ):
                    read += 1
                    progress(f"{read} files")
                    yield from self._taken(*pending.popleft())
                pending.append((key, size, pool.submit(_lines, client, self.bucket, key, size)))
            while pending:
                yield from self._taken(*pending.popleft())
        finally:  # Ctrl-C and an early end included
            pool.shutdown(wait=False, cancel_futures=True)

    def _keys(self, client: Any) -> Iterator[tuple[str, int]]:
        # SageMaker adds the endpoint, the variant and the hour, which sort as time does.
        prefix = f"{self.endpoint}/{self.endpoint}/{names.VARIANT_NAME}/"
        start = f"{prefix}{self.since - _CLOCKS:%Y/%m/%d/%H}"
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start
        )
        try:
            for page in pages:
                yield from ((each["Key"], each["Size"]) for each in page.get("Contents", []))
        except client.exceptions.NoSuchBucket:
            raise DeliveryError(
                f"There is no bucket {self.bucket}. [hosting.data_capture] is set: was the registry stack "
                "deployed since?"
            ) from None

    def _taken(self, key: str, _size: int, future: Any) -> Iterator[tuple[str, Iterable[bytes]]]:
        try:
            yield key, future.result()
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"NoSuchKey", "404"}:
                raise
            self.faults.add("files that expired meanwhile", key)
        except BotoCoreError:
            self.faults.add("files that ended early", key)


def _lines(client: Any, bucket: str, key: str, size: int) -> Iterable[bytes]:
    body = client.get_object(Bucket=bucket, Key=key)["Body"]
    lines: Iterable[bytes] = body.iter_lines(2**20) if size > _AHEAD_BYTES else body.read().splitlines()
    return lines


@dataclass
class Logged:
    """The answers in the log of an environment's gateway since a time."""

    environment: str
    since: datetime
    faults: Faults = field(default_factory=Faults)

    def __str__(self) -> str:
        return f"the log of {names.function(self.environment)}"

    def __iter__(self) -> Iterator[Record]:
        client = boto3.client("logs")
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=self._group(),
            startTime=int(self.since.timestamp() * 1000),
            filterPattern="{ $.watched.probability >= 0 }",
            PaginationConfig={"PageSize": 10_000},
        )
        read = 0
        for page in pages:
            for event in page["events"]:
                try:
                    record = _logged(event)
                except _RecordError as error:
                    self.faults.add(str(error), f"{event['logStreamName']} at {event['timestamp']}")
                    continue
                if record:
                    read += 1
                    yield record
            progress(f"{read} answers")

    def _group(self) -> str:
        stack = names.stack(self.environment, "gateway")
        group = stack_outputs(stack).get("LogGroupName")
        if group is None:
            raise DeliveryError(f"Stack {stack} does not name its log group: deploy it again.")
        return group


def records(settings: Settings, *, since: datetime, images: bool = False) -> Captured | Logged:
    """Return what the settings' way to watch has of the answers since a time.

    Parameters
    ----------
    images
        Whether the records have the images too, where the settings capture the input.
    """
    capture = settings.data_capture
    if capture is None or not settings.captures_answers:
        return Logged(settings.environment, since)
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = names.capture_bucket(settings.environment, account=account, region=settings.region)
    return Captured(bucket, settings.endpoint_name, since, images=images and "input" in capture.what)


def _captured(line: bytes, *, images: bool) -> Record | None:
    """Read a captured line; None for what is not watched: refusals and golden answers."""
    try:
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
        found = answer.get("statistics")
        if found is None:
            raise _RecordError("answers without statistics")
        statistics = {**found, "probability": answer["probability"]}
    except _RecordError:
        raise
    except (ValueError, RecursionError) as error:
        raise _RecordError("lines that are not JSON or cut short") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise _RecordError("lines of another schema") from error
    return _record(id_, time, sha256, statistics, label=answer["label"], image=image)


def _logged(event: Mapping[str, Any]) -> Record | None:
    """Read a log event; None for what is no watched answer."""
    try:
        line = json.loads(event["message"])
    except (ValueError, RecursionError):
        return None  # of Lambda itself
    if not isinstance(line, dict) or line.get("watched") is None:  # which a refusal has not
        return None
    try:
        id_, found = line["request_id"], line["watched"]
        if id_.startswith(metrics.UNCOUNTED):
            return None
        sha256, label = found["model_sha256"], "YES" if line[metrics.YES] else "NO"
    except (KeyError, TypeError, AttributeError) as error:
        raise _RecordError("lines of another schema") from error
    return _record(id_, datetime.fromtimestamp(event["timestamp"] / 1000, UTC), sha256, found, label=label)


def _record(
    id_: str, time: datetime, sha256: object, found: Any, *, label: str, image: bytes | None = None
) -> Record:
    try:
        statistics: dict[str, float | str] = {name: float(found[name]) for name in NUMBERS}
        statistics |= {name: found[name] for name in WORDS}
        right = isinstance(sha256, str) and time.tzinfo is not None
        right = right and all(isinstance(statistics[name], str) for name in WORDS)
        if not right or not all(math.isfinite(found[name]) for name in NUMBERS):
            raise _RecordError("lines of another schema")
    except (KeyError, TypeError, ValueError) as error:
        raise _RecordError("lines of another schema") from error
    return Record(
        id=id_, time=time, model_sha256=str(sha256), statistics=statistics, image=image, label=label
    )


def _decoded(side: Mapping[str, str]) -> bytes:
    """Return what one side of a captured exchange holds."""
    if side["encoding"] != "BASE64":
        return side["data"].encode()
    try:
        return base64.b64decode(side["data"], validate=True)
    except binascii.Error as error:
        raise _RecordError("lines that are not JSON or cut short") from error
