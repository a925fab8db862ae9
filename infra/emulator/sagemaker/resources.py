"""SageMaker's resources as they were requested, errors, and the variant of a configuration."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from infra.emulator.ministack_patches.app import account_id, region
from infra.emulator.validation.shapes import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.emulator.validation.rules import Json

# SageMaker's limits for /ping at start where the configuration names none:
# docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and serverless-endpoints.html
_REAL_TIME_STARTUP_S = 480
_SERVERLESS_STARTUP_S = 180


def invalid(message: str) -> InvalidRequest:
    """Return the control plane's answer to a request that it refuses."""
    return InvalidRequest("ValidationException", message)


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


class Resource:
    """What was created under a name; `properties` are those of the request."""

    def __init__(self, type_: ResourceType, properties: Json) -> None:
        self.type = type_
        self.name: str = properties[type_.name_member]
        self.arn = type_.arn(self.name)
        self.properties = properties
        self.created = time.time()

    def summary(self) -> dict[str, object]:
        """Return the members that both a list and a description show."""
        return {
            self.type.name_member: self.name,
            f"{self.type.member}Arn": self.arn,
            "CreationTime": self.created,
        }


T = TypeVar("T", bound=Resource)


class Store(Generic[T]):
    """What exists of one type of resource in the request's region; safe to use from threads."""

    def __init__(self, type_: ResourceType) -> None:
        self.type = type_
        self._items: dict[tuple[str, str], T] = {}
        self._lock = threading.Lock()

    def add(self, item: T) -> T:
        """Add an item and return it, or raise AWS's error if its name is taken."""
        with self._lock:
            if (region(), item.name) in self._items:
                raise invalid(f'Cannot create already existing {self.type.label} "{item.arn}".')
            self._items[region(), item.name] = item
        return item

    def get(self, name: str) -> T:
        """Return the item of that name, or raise AWS's error."""
        with self._lock:
            item = self._items.get((region(), name))
        if item is None:
            raise invalid(f'Could not find {self.type.label} "{self.type.arn(name)}".')
        return item

    def find(self, arn: str) -> T | None:
        """Return the item of that ARN, if there is one."""
        return next((each for each in self.all() if each.arn == arn), None)

    def remove(self, name: str) -> None:
        """Remove the item of that name, or raise AWS's error."""
        self.get(name)
        with self._lock:
            self._items.pop((region(), name), None)

    def all(self) -> list[T]:
        """Every item, newest first as AWS lists them."""
        with self._lock:
            return [item for (place, _), item in reversed(self._items.items()) if place == region()]


@dataclass(frozen=True)
class Variant:
    """A production variant, or its shadow."""

    name: str
    image: str  # as the model names it: <registry>/<repository>:<tag> or ...@sha256:<digest>
    artifact: str  # s3:// URL
    role: str  # ARN of the execution role with which both are fetched
    environment: Mapping[str, str]
    network_isolation: bool
    instances: int  # 0 of a serverless variant
    volume_key: str | None  # ARN of the KMS key of the instances' volumes
    memory_mb: int | None = None  # of a serverless variant; None for a real-time one
    startup_timeout_s: float = _REAL_TIME_STARTUP_S  # until /ping must answer 200
    data_capture: Json | None = None  # the configuration's `DataCaptureConfig` where it is enabled
    weight: float = 1.0
    shadow: Variant | None = None  # gets copies of requests; its weight over this one's is its share of them

    @classmethod
    def of_model(cls, name: str, model: Json, *, environment: Json | None = None, **more: Any) -> Variant:
        """Return a variant with what its server needs of a model; `environment` is added to the model's."""
        container = model["PrimaryContainer"]
        return cls(
            name=name,
            image=container["Image"],
            artifact=container["ModelDataUrl"],
            role=model["ExecutionRoleArn"],
            environment={**container.get("Environment", {}), **(environment or {})},
            network_isolation=model.get("EnableNetworkIsolation", False),
            **more,
        )

    @property
    def serverless(self) -> bool:
        """Whether the variant is serverless rather than real-time."""
        return self.memory_mb is not None


def production_variant(config: Json) -> Json:
    """Return the one production variant of an endpoint configuration."""
    variants: list[Json] = config["ProductionVariants"]
    if len(variants) > 1 or "ModelName" not in variants[0]:
        raise invalid("The emulated SageMaker runs one production variant per endpoint, of one model.")
    return variants[0]


def resolve(config: Resource, models: Store[Resource]) -> Variant:
    """Return an endpoint configuration's variant, and its shadow, with what their servers need of models."""
    variant = _variant(config, production_variant(config.properties), models)
    for shadow in config.properties.get("ShadowProductionVariants") or []:
        variant = replace(variant, shadow=_variant(config, shadow, models))
    return variant


def _variant(config: Resource, declared: Json, models: Store[Resource]) -> Variant:
    serverless = declared.get("ServerlessConfig", {})
    capture = config.properties.get("DataCaptureConfig", {})
    return Variant.of_model(
        declared["VariantName"],
        models.get(declared["ModelName"]).properties,
        volume_key=config.properties.get("KmsKeyId"),
        memory_mb=serverless.get("MemorySizeInMB"),
        instances=declared.get("InitialInstanceCount", 0),
        startup_timeout_s=declared.get(
            "ContainerStartupHealthCheckTimeoutInSeconds",
            _SERVERLESS_STARTUP_S if serverless else _REAL_TIME_STARTUP_S,
        ),
        data_capture=capture if capture.get("EnableCapture") else None,
        weight=declared.get("InitialVariantWeight", 1.0),
    )
