"""The settings of one environment: a small TOML file, read into one typed, frozen value.

A rule that AWS would enforce late, half-way through a deploy, is enforced here. The limits are SageMaker's:
docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html and deployment-guardrails-exclusions.html.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from infra.names import ENVIRONMENT_NAME
from infra.report import FileError, problems

ENVIRONMENTS = Path(__file__).parent / "environments"

MINIMUM_TO_SPLIT = 2  # instances, below which SageMaker cannot shift a part of the traffic

_CHECKED = ConfigDict(strict=True, extra="forbid")
# The tags of the unions below: steps of pydantic's paths, but no keys of the file.
_TAGS = frozenset({"serverless", "real-time", "all-at-once", "canary"})

Auth = Literal["none", "api_key", "iam"]
RetentionDays = Literal[1, 7, 14, 30, 90, 365, 731]  # some of those that CloudWatch Logs accepts


class SettingsError(FileError):
    """An environment's settings cannot be used; the message lists every reason."""


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class AllAtOnce:
    """The new fleet takes all traffic as soon as it is healthy."""

    strategy: Literal["all-at-once"] = "all-at-once"


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Canary:
    """A part of the traffic goes to the new fleet first; an alarm while it bakes rolls the update back."""

    strategy: Literal["canary"]
    percent: Annotated[int, Field(ge=1, le=50)]
    bake_seconds: Annotated[int, Field(ge=60, le=3600)]
    latency_alarm_ms: Annotated[int, Field(ge=1, le=60_000)]


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Serverless:
    """Billed by the request. Takes no network isolation, no guardrails and images up to 4 MB."""

    mode: Literal["serverless"]
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144]
    max_concurrency: Annotated[int, Field(ge=1, le=200)]


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class RealTime:
    """Instances that run all the time, isolated from every network."""

    mode: Literal["real-time"]
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z][a-z0-9-]*\.[a-z0-9]+$")]
    rollout: Annotated[AllAtOnce | Canary, Field(discriminator="strategy")] = AllAtOnce()
    instance_count: Annotated[int, Field(ge=1, le=100)]  # after rollout, on which its check depends

    @field_validator("instance_type")
    @classmethod
    def _runs_our_image(cls, instance_type: str) -> str:
        # Graviton families carry a g after their generation: c7g, m6gd; g5 and g4dn are x86.
        if re.match(r"ml\.[a-z]+[0-9]+[a-z]*g", instance_type):
            raise ValueError("an Arm instance; the image is linux/amd64: choose an x86 family, like ml.c7i")
        return instance_type

    @field_validator("instance_count")
    @classmethod
    def _can_be_split(cls, instance_count: int, info: ValidationInfo) -> int:
        if instance_count < MINIMUM_TO_SPLIT and isinstance(info.data.get("rollout"), Canary):
            raise ValueError(f"a canary needs at least {MINIMUM_TO_SPLIT} instances, or rollout all-at-once")
        return instance_count


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Throttle:
    """How many requests the gateway lets through, over all callers together."""

    requests_per_second: Annotated[int, Field(ge=1, le=10_000)]
    burst: Annotated[int, Field(ge=1, le=5_000)]


@dataclass(frozen=True, kw_only=True, config=_CHECKED)
class Settings:
    """All that differs between environments.

    Without `account` the stacks go to the account of whoever deploys; nothing is ever looked up.
    `auth` says who may ask for a prediction, `allowed_origin` which other site's pages may.
    """

    environment: Annotated[str, Field(pattern=ENVIRONMENT_NAME)]
    local: bool = False
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] | None = None
    auth: Auth
    allowed_origin: Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+(:[0-9]+)?$")] | None = None
    throttle: Throttle
    hosting: Annotated[Serverless | RealTime, Field(discriminator="mode")]
    log_retention_days: RetentionDays
    retain_data: bool
    termination_protection: bool

    @field_validator("auth")
    @classmethod
    def _is_guarded(cls, auth: str, info: ValidationInfo) -> str:
        if auth == "none" and info.data.get("local") is False:
            raise ValueError(
                "open to everyone, which only a laptop (local = true) may be; write api_key or iam"
            )
        return auth


_SETTINGS = TypeAdapter(Settings)


def known_environments(folder: Path = ENVIRONMENTS) -> list[str]:
    """Names of the environments that have a settings file."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(environment: str, *, folder: Path = ENVIRONMENTS) -> Settings:
    """Read and check the settings of `environment`.

    Raises
    ------
    SettingsError
        With everything that is wrong with them.
    """
    path = folder / f"{environment}.toml"
    if environment not in known_environments(folder):
        raise SettingsError(path, [f"no such environment; there are {', '.join(known_environments(folder))}"])
    try:
        written = tomllib.loads(path.read_text())
        if "environment" in written:
            raise SettingsError(path, ["environment: unknown key; the file's own name says it"])
        # By way of JSON: there alone pydantic is strict on values and yet builds the nested dataclasses.
        return _SETTINGS.validate_json(json.dumps(written | {"environment": environment}, default=str))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, [f"not TOML: {error}"]) from None
    except ValidationError as error:
        raise SettingsError(path, problems(error, hidden=_TAGS)) from None
