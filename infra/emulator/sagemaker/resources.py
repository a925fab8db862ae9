"""SageMaker's resources as they were requested, its errors, and the variant of a configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from infra.emulator.ministack_patches.app import account_id, region
from infra.emulator.validation.shapes import InvalidRequest

# SageMaker's limits for /ping at start where the configuration names none:
# docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and serverless-endpoints.html
_REAL_TIME_STARTUP_S = 480
_SERVERLESS_STARTUP_S = 180

# docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html and hosting-faqs.html
_SERVERLESS_MAX_BODY = 4 * 1024 * 1024
_REAL_TIME_MAX_BODY = 25 * 1024 * 1024

Properties = Mapping[str, object]
T = TypeVar("T")


class SageMakerError(InvalidRequest):
    """An error answer of SageMaker, raised throughout this package for a request that SageMaker refuses.

    `code` is the error's name in SDKs; `members` are further members of the answer, such as
    OriginalStatusCode.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, members: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.members = dict(members or {})


def invalid(message: str) -> SageMakerError:
    """Return the control plane's answer to a request that it refuses."""
    return SageMakerError("ValidationException", message)


class AccessDenied(Exception):  # noqa: N818 - AWS's own name for it
    """An execution role may not fetch what its model needs; the message says what and why."""


class ServerError(Exception):
    """A model server did not come up; the message says why."""


@dataclass(frozen=True)
class ResourceType:
    """How SageMaker's ARNs, the members of its API and its errors name a type of resource."""

    arn_part: str
    member: str
    label: str

    def arn(self, name: str) -> str:
        """ARN of a resource of this type, in the account and region of the current request."""
        return f"arn:aws:sagemaker:{region()}:{account_id()}:{self.arn_part}/{name.lower()}"

    @property
    def name_member(self) -> str:
        """Member of the API that carries the name, for example ``ModelName``."""
        return f"{self.member}Name"


MODEL = ResourceType("model", "Model", label="model")
ENDPOINT_CONFIG = ResourceType("endpoint-config", "EndpointConfig", label="endpoint configuration")
ENDPOINT = ResourceType("endpoint", "Endpoint", label="endpoint")


@dataclass(frozen=True)
class Resource:
    """What was created under a name; `properties` are those of the request."""

    name: str
    arn: str
    properties: Properties
    created: float = field(default_factory=time.time)

    @classmethod
    def requested(cls, type_: ResourceType, properties: Properties) -> Resource:
        """Return what a request creates, or raise AWS's error if it has no name."""
        name = text(properties, type_.name_member)
        return cls(name=name, arn=type_.arn(name), properties=dict(properties))


class Store(Generic[T]):
    """What exists of one type of resource in the request's region, by name; safe to use from threads."""

    def __init__(self, type_: ResourceType) -> None:
        self.type = type_
        self._items: dict[tuple[str, str], T] = {}
        self._lock = threading.Lock()

    def add(self, name: str, item: T) -> None:
        """Add an item, or raise AWS's error if the name is taken."""
        with self._lock:
            if (region(), name) in self._items:
                raise invalid(f'Cannot create already existing {self.type.label} "{self.type.arn(name)}".')
            self._items[region(), name] = item

    def get(self, name: str) -> T:
        """Return the item of that name, or raise AWS's error."""
        with self._lock:
            item = self._items.get((region(), name))
        if item is None:
            raise invalid(f'Could not find {self.type.label} "{self.type.arn(name)}".')
        return item

    def remove(self, name: str) -> None:
        """Remove the item of that name, or raise AWS's error."""
        self.get(name)
        with self._lock:
            self._items.pop((region(), name), None)

    def all(self) -> list[T]:
        """Every item, newest first as AWS lists them."""
        with self._lock:
            return [item for (place, _), item in reversed(self._items.items()) if place == region()]


def text(properties: Properties, member: str) -> str:
    """Return a required member that is a string, or raise AWS's error where it is missing."""
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


@dataclass(frozen=True)
class Variant:
    """A production variant."""

    name: str
    image: str  # as the model names it: <registry>/<repository>:<tag> or ...@sha256:<digest>
    artifact: str  # s3:// URL
    role: str  # ARN of the execution role with which both are fetched
    environment: Mapping[str, str]
    network_isolation: bool
    volume_key: str | None  # ARN of the KMS key of the instances' volumes
    memory_mb: int | None  # of a serverless variant; None for a real-time one
    instances: int  # 0 of a serverless variant
    startup_timeout_s: float  # until /ping must answer 200

    @property
    def serverless(self) -> bool:
        """Whether the variant is serverless rather than real-time."""
        return self.memory_mb is not None

    @property
    def max_body(self) -> int:
        """Largest request body in bytes."""
        return _SERVERLESS_MAX_BODY if self.serverless else _REAL_TIME_MAX_BODY


def production_variant(config: Properties) -> Properties:
    """Return the one production variant of an endpoint configuration."""
    variants: list[Properties] = config["ProductionVariants"]  # type: ignore[assignment]  # checked on arrival
    if len(variants) > 1:
        raise invalid("The emulated SageMaker runs one production variant per endpoint, not more.")
    return variants[0]


def resolve(config: Resource, models: Store[Resource]) -> Variant:
    """Return an endpoint configuration's variant with what its server needs of the model."""
    declared = production_variant(config.properties)
    model = models.get(text(declared, "ModelName")).properties
    container = mapping(model, "PrimaryContainer")
    serverless = mapping(declared, "ServerlessConfig")
    default_startup_s = _SERVERLESS_STARTUP_S if serverless else _REAL_TIME_STARTUP_S
    startup_s = _integer(declared.get("ContainerStartupHealthCheckTimeoutInSeconds"))
    return Variant(
        name=text(declared, "VariantName"),
        image=text(container, "Image"),
        artifact=text(container, "ModelDataUrl"),
        role=text(model, "ExecutionRoleArn"),
        environment={key: str(value) for key, value in mapping(container, "Environment").items()},
        # CloudFormation passes booleans on as the template has them, sometimes as text.
        network_isolation=str(model.get("EnableNetworkIsolation")).lower() == "true",
        volume_key=str(config.properties["KmsKeyId"]) if config.properties.get("KmsKeyId") else None,
        memory_mb=_integer(serverless.get("MemorySizeInMB")),
        instances=_integer(declared.get("InitialInstanceCount")) or 0,
        startup_timeout_s=startup_s or default_startup_s,
    )


def _integer(value: object) -> int | None:
    return int(str(value)) if value is not None else None
