"""What the model runs on: a closed family, chosen by the one key `mode`.

A third member, `Async(mode="async")`, would bring its queue's size, its output's bucket and its topics;
whatever reads `Hosting` then fails to type-check until it says what it does with it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from infra.report import shaped
from infra.settings.checked import CHECKED, distinct
from infra.settings.rollout import MINIMUM_TO_SPLIT, AllAtOnce, Rollout

# Families whose instances carry disks of their own: a d after the generation, and these that always do.
_LOCAL_DISKS = re.compile(r"ml\.([a-z]+[0-9]+[a-z]*d[a-z]*|g5|g6|g6e|p5|p5e|p5en)\.")
# Graviton families carry a g after their generation: c7g, m6gd; g5 and g4dn are x86.
_ARM = re.compile(r"ml\.[a-z]+[0-9]+[a-z]*g")

Cooldown = Annotated[int, Field(ge=0, le=3600)]
Instances = Annotated[int, Field(ge=1, le=100)]
Clock = Annotated[str, shaped(r"([01][0-9]|2[0-3]):[0-5][0-9]", like="hours and minutes, such as 07:30")]
InstanceType = Annotated[
    str, shaped(r"ml\.[a-z][a-z0-9-]*\.(medium|large|[0-9]*xlarge)", like="ml.FAMILY.SIZE, as ml.c7i.large")
]
Day = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Serverless:
    """Billed by the request, images up to 4 MB.

    SageMaker gives it no network isolation, VPC, data capture, volume key, auto scaling or guardrails:
    docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html. None of them is a key here.
    """

    mode: Literal["serverless"]
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144]
    max_concurrency: Annotated[int, Field(ge=1, le=200)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class OffHours:
    """From `begin` on, until `end` on the next working day, fewer instances are kept.

    The most that scaling may add stays as it is: whoever comes at night is served, only later.
    """

    timezone: str
    working_days: Annotated[tuple[Day, ...], Field(min_length=1), AfterValidator(distinct)]
    begin: Clock
    end: Clock  # after begin, with which it is compared
    instances: Instances

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (LookupError, ValueError, OSError):
            raise ValueError("no such time zone; write one like Europe/Dublin") from None
        return timezone

    @field_validator("end")
    @classmethod
    def _is_another_time(cls, end: str, info: ValidationInfo) -> str:
        if end == info.data.get("begin"):
            raise ValueError("off hours end when they begin; write two times")
        return end


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Scaling:
    """Instances are added while each has more than so many requests at once, and taken away when less.

    `instance_count` is the least that there are; `max_instances` the most.
    """

    max_instances: Instances
    concurrent_requests_per_instance: Annotated[int, Field(ge=1, le=1000)]
    scale_out_cooldown_seconds: Cooldown
    scale_in_cooldown_seconds: Cooldown
    off_hours: OffHours | None = None


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class DataCapture:
    """A share of the answers is kept in a bucket of its own, where it expires.

    Images are health data: they are captured only where ``"input"`` is written here, on purpose.
    """

    percent: Annotated[int, Field(ge=1, le=100)]
    expire_days: Annotated[int, Field(ge=1, le=365)]
    what: Annotated[tuple[Literal["input", "output"], ...], Field(min_length=1), AfterValidator(distinct)] = (
        "output",
    )


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Network:
    """The subnets and security groups, of a VPC that is there already, that the instances are attached to.

    The VPC needs a gateway endpoint for S3: SageMaker fetches the model through it. Whether the subnets lie
    in different zones is not known here, as nothing is looked up.
    """

    subnet_ids: Annotated[
        tuple[Annotated[str, shaped(r"subnet-[0-9a-f]{8,17}", like="a subnet's id: subnet-...")], ...],
        Field(min_length=2, max_length=16),
        AfterValidator(distinct),
    ]
    security_group_ids: Annotated[
        tuple[Annotated[str, shaped(r"sg-[0-9a-f]{8,17}", like="a security group's id: sg-...")], ...],
        Field(min_length=1, max_length=5),
        AfterValidator(distinct),
    ]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class RealTime:
    """Instances that run all the time, their containers isolated from every network.

    With two or more of them SageMaker spreads them over the region's zones.
    """

    mode: Literal["real-time"]
    instance_type: InstanceType
    rollout: Rollout = AllAtOnce()
    instance_count: Instances  # after rollout, on which its check depends
    scaling: Scaling | None = None  # after both, for the same reason
    data_capture: DataCapture | None = None
    network: Network | None = None

    @field_validator("instance_type")
    @classmethod
    def _runs_our_image(cls, instance_type: str) -> str:
        if _ARM.match(instance_type):
            raise ValueError("an Arm instance; the image is linux/amd64: choose an x86 family, like ml.c7i")
        return instance_type

    @field_validator("instance_count")
    @classmethod
    def _can_be_split(cls, instance_count: int, info: ValidationInfo) -> int:
        strategy = _needs_two(info)
        if strategy and instance_count < MINIMUM_TO_SPLIT:
            raise ValueError(
                f"a {strategy} rollout needs at least {MINIMUM_TO_SPLIT} instances; or write all-at-once"
            )
        return instance_count

    @field_validator("scaling")
    @classmethod
    def _scales_from_the_count(cls, scaling: Scaling | None, info: ValidationInfo) -> Scaling | None:
        count = info.data.get("instance_count")
        if scaling is None or count is None:
            return scaling
        if scaling.max_instances < count:
            raise ValueError(f"max_instances = {scaling.max_instances} is below instance_count = {count}")
        if scaling.off_hours is None:
            return scaling
        kept = scaling.off_hours.instances
        if kept >= count:
            raise ValueError(
                f"off_hours.instances = {kept} spares nothing; write less than instance_count = {count}"
            )
        strategy = _needs_two(info)
        if strategy and kept < MINIMUM_TO_SPLIT:
            raise ValueError(
                f"off_hours.instances = {kept}, but a {strategy} rollout needs {MINIMUM_TO_SPLIT} always"
            )
        return scaling

    @property
    def has_local_disks(self) -> bool:
        """Whether the instances keep data on disks of their own, for which SageMaker takes no key of ours."""
        return bool(_LOCAL_DISKS.match(self.instance_type))


Hosting = Annotated[Serverless | RealTime, Field(discriminator="mode")]


def _needs_two(info: ValidationInfo) -> str | None:
    """Return the rollout's strategy, where it shifts a part of the traffic before the rest."""
    rollout = info.data.get("rollout")
    return None if rollout is None or isinstance(rollout, AllAtOnce) else rollout.strategy
