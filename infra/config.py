"""The settings of one environment: a small TOML file, read into one typed, frozen value.

A rule that AWS would enforce late, half-way through a deploy, is enforced here and in infra/settings/.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from infra.report import FileError, problems, shaped
from infra.settings.access import Auth, Firewall, SignIn
from infra.settings.checked import CHECKED, EnvironmentName
from infra.settings.hosting import Hosting, RealTime
from infra.settings.sight import Sight

ENVIRONMENTS = Path(__file__).parent / "environments"

# The keys that hold one of several tables, and their tags.
_UNIONS = {
    "hosting": frozenset({"serverless", "real-time"}),
    "rollout": frozenset({"all-at-once", "canary", "linear"}),
}

Origin = Annotated[
    str, shaped(r"https://[a-z0-9.-]+(:[0-9]+)?", like="https://host or https://host:port, in lower case")
]
RetentionDays = Literal[1, 7, 14, 30, 90, 365, 731]  # some of those that CloudWatch Logs accepts


class SettingsError(FileError):
    """An environment's settings cannot be used; the message lists every reason."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Throttle:
    """How many requests the gateway lets through, over all callers together."""

    requests_per_second: Annotated[int, Field(ge=1, le=10_000)]
    burst: Annotated[int, Field(ge=1, le=5_000)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class GitHub:
    """The repository whose workflows may deliver here; its stack is `infra/stacks/delivery.py`.

    An account holds one provider of GitHub's tokens: where another stack made it, it is "existing".
    """

    repository: Annotated[str, shaped(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", like="owner/name")]
    provider: Literal["own", "existing"] = "own"


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Settings:
    """All that differs between environments.

    Without `account` the stacks go to the account of whoever deploys; nothing is ever looked up.
    `auth` says who may ask for a prediction, `allowed_origin` which other site's pages may. With `firewall`
    AWS WAF looks at every request first. With `customer_key` a KMS key of the environment's own encrypts
    bucket, images, volumes, logs and alarms.
    """

    environment: EnvironmentName
    local: bool = False
    region: Annotated[str, shaped(r"[a-z]{2}(-[a-z]+)+-[0-9]", like="a region's code, such as eu-west-1")]
    account: Annotated[str, shaped(r"[0-9]{12}", like="the account's twelve digits, in quotes")] | None = None
    auth: Auth
    sign_in: SignIn | None = None  # after local and auth, on which its check depends
    firewall: Firewall | None = None
    allowed_origin: Origin | None = None
    throttle: Throttle
    hosting: Hosting
    log_retention_days: RetentionDays
    retain_data: bool
    termination_protection: bool
    customer_key: bool = False  # after hosting, on which its check depends
    sight: Sight | None = None
    github: GitHub | None = None

    @field_validator("auth")
    @classmethod
    def _is_guarded(cls, auth: str, info: ValidationInfo) -> str:
        if auth == "none" and info.data.get("local") is False:
            raise ValueError(
                "open to everyone, which only a laptop (local = true) may be; write api_key, iam or cognito"
            )
        return auth

    @field_validator("sign_in")
    @classmethod
    def _has_people_to_sign_in(cls, sign_in: SignIn | None, info: ValidationInfo) -> SignIn | None:
        if sign_in is None:
            return None
        if info.data.get("auth", "cognito") != "cognito":
            raise ValueError('only for auth = "cognito"; leave the table out')
        if sign_in.laptop_address and info.data.get("local") is False:
            raise ValueError("laptop_address is for a laptop (local = true); AWS has an address of its own")
        return sign_in

    @field_validator("customer_key")
    @classmethod
    def _fits_the_instances(cls, customer_key: bool, info: ValidationInfo) -> bool:
        hosting = info.data.get("hosting")
        if customer_key and isinstance(hosting, RealTime) and hosting.has_local_disks:
            raise ValueError(
                f"{hosting.instance_type} has disks of its own, for which SageMaker takes no key; choose a "
                "family without, like ml.c7i, or write false"
            )
        return customer_key


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
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        if "environment" in written:
            raise SettingsError(path, ["environment: unknown key; the file's own name says it"])
        # By way of JSON: there alone pydantic is strict on values and yet builds the nested dataclasses.
        return _SETTINGS.validate_json(json.dumps(written | {"environment": environment}, default=str))
    except UnicodeDecodeError as error:
        raise SettingsError(path, [f"not UTF-8, as TOML is: {error.reason} at byte {error.start}"]) from None
    except OSError as error:
        raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, [f"not TOML: {error}"]) from None
    except ValidationError as error:
        raise SettingsError(path, problems(error, unions=_UNIONS)) from None
