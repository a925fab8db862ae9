"""Models and endpoint configurations: immutable records by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ministack.core.responses import get_account_id, get_region

from infra.local.sagemaker.errors import invalid

Properties = Mapping[str, object]


@dataclass(frozen=True)
class Kind:
    """One of SageMaker's kinds of resource: how its ARNs, its API's members and its errors name it."""

    arn: str
    member: str
    words: str

    def arn_of(self, name: str) -> str:
        """ARN of a resource of this kind in the account and region of the request at hand."""
        return f"arn:aws:sagemaker:{get_region()}:{get_account_id()}:{self.arn}/{name.lower()}"

    @property
    def name_member(self) -> str:
        """Member of the API that carries the name, for example ``ModelName``."""
        return f"{self.member}Name"


MODEL = Kind(arn="model", member="Model", words="model")
ENDPOINT_CONFIG = Kind(arn="endpoint-config", member="EndpointConfig", words="endpoint configuration")
ENDPOINT = Kind(arn="endpoint", member="Endpoint", words="endpoint")


@dataclass(frozen=True)
class Record:
    """What was created under a name; `properties` is the request as it came."""

    name: str
    arn: str
    properties: Properties
    created: float = field(default_factory=time.time)


class Catalog:
    """The records of one kind, safe to use from several threads."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()

    def create(self, properties: Properties) -> Record:
        """Keep a new record.

        Raises
        ------
        SageMakerError
            If its name is missing or taken.
        """
        name = text(properties, self.kind.name_member)
        record = Record(name=name, arn=self.kind.arn_of(name), properties=dict(properties))
        with self._lock:
            if name in self._records:
                raise invalid(f'Cannot create already existing {self.kind.words} "{record.arn}".')
            self._records[name] = record
        return record

    def get(self, name: str) -> Record:
        """Return the record of that name, or raise AWS's error."""
        with self._lock:
            record = self._records.get(name)
        if record is None:
            raise invalid(f'Could not find {self.kind.words} "{self.kind.arn_of(name)}".')
        return record

    def delete(self, name: str) -> None:
        """Forget the record of that name, or raise AWS's error."""
        self.get(name)
        with self._lock:
            self._records.pop(name, None)

    def all(self) -> list[Record]:
        """Every record, newest first as AWS lists them."""
        with self._lock:
            return sorted(self._records.values(), key=lambda record: record.created, reverse=True)


def text(properties: Properties, member: str) -> str:
    """Return a required member that is a string, or raise what AWS answers without it."""
    value = properties.get(member)
    if not isinstance(value, str) or not value:
        raise invalid(
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: required"
        )
    return value


def mapping(properties: Properties, member: str) -> Properties:
    """Return a member that is an object, empty where it is absent."""
    value = properties.get(member)
    return value if isinstance(value, Mapping) else {}
