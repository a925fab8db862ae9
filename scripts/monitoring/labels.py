"""The labels that people gave to answers, one object each in the environment's label bucket."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from pydantic import AwareDatetime, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from infra import names
from infra.config.base import STRICT
from infra.lambdas.gateway.labels import PREFIX
from scripts.monitoring.records import Faults, objects
from scripts.transform.run import THREADS, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.config import Settings


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Label:
    """One label of one caller."""

    request_id: str
    label: Literal["NO", "YES"]
    model_sha256: str
    time: AwareDatetime
    caller: str | None
    note: str | None = None


_LABEL = TypeAdapter(Label)


def consensus(labels: Iterable[Label]) -> dict[str, str | None]:
    """Return what all callers say of each request, or None where they disagree; a caller's newest counts."""
    newest: dict[str, dict[str | None, str]] = defaultdict(dict)
    for each in sorted(labels, key=lambda label: label.time):
        newest[each.request_id][each.caller] = each.label
    agreed = {}
    for id_, own in newest.items():
        label, *others = set(own.values())
        agreed[id_] = None if others else label
    return agreed


def read(settings: Settings, faults: Faults) -> list[Label]:
    """Read every label of an environment; one that is no label is counted in `faults`."""
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = names.bucket(settings.environment, "labels", account=account, region=settings.region)
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))
    found = objects(client, bucket, f"{PREFIX}/", setting="[feedback]")
    read_labels = mapped(lambda each: _label(client, bucket, each[0], faults), found)
    return [label for label in read_labels if label]


def _label(client: Any, bucket: str, key: str, faults: Faults) -> Label | None:
    try:
        return _LABEL.validate_json(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ValidationError:
        faults.add("labels of another schema", key)
    except client.exceptions.NoSuchKey:
        faults.add("labels that expired meanwhile", key)
    return None
