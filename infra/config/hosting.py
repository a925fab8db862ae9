"""What the model runs on: serverless, instances, or instances behind a queue, chosen by the key `mode`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from infra.config.base import STRICT, distinct, matches
from infra.config.rollout import AllAtOnce, Rollout
from infra.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Families whose instances have local disks: a d after the generation, and these that always do.
_LOCAL_DISKS = re.compile(r"ml\.([a-z]+[0-9]+[a-z]*d[a-z]*|g5|g6|g6e|p5|p5e|p5en)\.")
# Graviton families have a g after their generation: c7g, m6gd; g5 and g4dn are x86.
_ARM = re.compile(r"ml\.[a-z]+[0-9]+[a-z]*g")

# What volumes under a KMS key take: docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
VOLUME_KEY_ACTIONS = (
    "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom", "kms:ReEncryptTo",
)  # fmt: skip


def _runs_our_image(instance_type: str) -> str:
    if _ARM.match(instance_type):
        raise ValueError("an Arm instance; the image is linux/amd64: choose an x86 family, like ml.c7i")
    return instance_type


def _is_known(timezone: str) -> str:
    try:
        ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        raise ValueError("no such time zone; write one like Europe/Dublin") from None
    return timezone


Cooldown = Annotated[int, Field(ge=0, le=3600)]
Instances = Annotated[int, Field(ge=1, le=100)]
Clock = Annotated[str, matches(r"([01][0-9]|2[0-3]):[0-5][0-9]", like="hours and minutes, such as 07:30")]
InstanceType = Annotated[
    str,
    matches(r"ml\.[a-z][a-z0-9-]*\.(medium|large|[0-9]*xlarge)", like="ml.FAMILY.SIZE, as ml.c7i.large"),
    AfterValidator(_runs_our_image),
]
Day = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Serverless:
    """Billed by the request, for images up to 4 MB.

    SageMaker offers no network isolation, VPC, data capture, volume key, auto scaling or guardrails for it:
    docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html. So none of them is a key here.
    """

    mode: Literal["serverless"]
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144]
    max_concurrency: Annotated[int, Field(ge=1, le=200)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OffHours:
    """Fewer instances from `begin` until `end` on the next working day; `max_instances` still holds."""

    timezone: Annotated[str, AfterValidator(_is_known)]
    working_days: Annotated[tuple[Day, ...], Field(min_length=1), AfterValidator(distinct)]
    begin: Clock
    end: Clock
    instances: Instances


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scaling:
    """Instances are added and removed to hold the number of concurrent requests on each.

    The lower limit is `instance_count`, the upper one `max_instances`.
    """

    max_instances: Instances
    concurrent_requests_per_instance: Annotated[int, Field(ge=1, le=1000)]
    scale_out_cooldown_seconds: Cooldown
    scale_in_cooldown_seconds: Cooldown
    off_hours: OffHours | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataCapture:
    """A share of the responses is kept in a bucket of its own, where it expires.

    Images are health data: they are captured only where ``"input"`` is listed.
    """

    percent: Annotated[int, Field(ge=1, le=100)]
    expire_days: Annotated[int, Field(ge=1, le=365)]
    what: Annotated[tuple[Literal["input", "output"], ...], Field(min_length=1), AfterValidator(distinct)] = (
        "output",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shadow:
    """Another release beside the served one, on as many instances, that gets a copy of a share of requests.

    Callers see neither its answers nor its faults; SageMaker captures its answers. `release` is the path of
    its record, relative to the repository. Its instances are never scaled.
    """

    release: Annotated[str, matches(r".+\.json", like="the path of a release record, such as shadow.json")]
    percent: Annotated[int, Field(ge=1, le=100)] = 100

    @property
    def path(self) -> Path:
        """Where the record is."""
        return ROOT / self.release


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Network:
    """Subnets and security groups of an existing VPC for the instances.

    The VPC needs a gateway endpoint for S3: SageMaker fetches the model through it. Whether the subnets lie
    in different zones is not checked: synth looks nothing up.
    """

    subnet_ids: Annotated[
        tuple[Annotated[str, matches(r"subnet-[0-9a-f]{8,17}", like="a subnet's id: subnet-...")], ...],
        Field(min_length=2, max_length=16),
        AfterValidator(distinct),
    ]
    security_group_ids: Annotated[
        tuple[Annotated[str, matches(r"sg-[0-9a-f]{8,17}", like="a security group's id: sg-...")], ...],
        Field(min_length=1, max_length=5),
        AfterValidator(distinct),
    ]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RealTime:
    """Instances that run all the time, with containers that have no network.

    SageMaker spreads two or more of them over the region's zones.
    """

    mode: Literal["real-time"]
    instance_type: InstanceType
    instance_count: Instances
    rollout: Rollout = AllAtOnce()
    scaling: Scaling | None = None
    data_capture: DataCapture | None = None
    shadow: Shadow | None = None
    network: Network | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Async:
    """Instances that answer from a queue, none of them while it is empty; images of up to 100 MiB.

    Images and answers lie in a bucket, where they expire. A wake-up takes minutes.
    """

    mode: Literal["async"]
    instance_type: InstanceType
    max_instances: Instances
    expire_days: Annotated[int, Field(ge=1, le=30)]
    concurrent_requests_per_instance: Annotated[int, Field(ge=1, le=1000)] = 2


Hosting = Annotated[Serverless | RealTime | Async, Field(discriminator="mode")]


def has_local_disks(instance_type: str) -> bool:
    """Return whether instances of this type store data on local disks, which no KMS key of ours encrypts."""
    return bool(_LOCAL_DISKS.match(instance_type))
