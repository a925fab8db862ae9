"""The settings of one environment: a small TOML file, read into one typed, frozen value.

What AWS would refuse late, in the middle of a deploy, is refused here.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from infra import local_aws, names
from infra.config.base import STRICT, EnvironmentName, distinct, matches
from infra.config.file_errors import FileError, Problem, problems
from infra.config.hosting import Async, DataCapture, Hosting, RealTime, Shadow
from infra.config.rules import broken_rules
from infra.config.training import Training
from infra.paths import ENVIRONMENTS

if TYPE_CHECKING:
    from pathlib import Path

# The keys that hold one of several tables, and their tags.
_UNIONS = {
    "hosting": frozenset({"serverless", "real-time", "async"}),
    "rollout": frozenset({"all-at-once", "canary", "linear"}),
}

Auth = Literal["none", "api_key", "iam", "cognito"]  # who may request a prediction
Origin = Annotated[
    str, matches(r"https://[a-z0-9.-]+(:[0-9]+)?", like="https://host or https://host:port, in lower case")
]
RetentionDays = Literal[1, 7, 14, 30, 90, 365, 731]  # some of those that CloudWatch Logs accepts
Share = Annotated[float, Field(gt=0, lt=1)]
MailAddress = Annotated[
    str,
    Field(max_length=254),
    matches(r"[^@\s]+@[^@\s]+\.[^@\s.]+", like="one mail address, such as a@b.org"),
]
# Cognito redirects only to https or to localhost, and compares addresses character by character; the page
# sends its own with a slash at the end:
# docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-app-idp-settings.html
PageAddress = Annotated[
    str,
    Field(max_length=1024),
    matches(
        r"(https://[a-z0-9.-]+|http://localhost)(:[0-9]+)?(/([A-Za-z0-9._~-]+|\{api_id\}))*/",
        like="https://host/path/ or http://localhost:port/, the host in lower case, with a slash at the end",
    ),
]
LocalAddress = Annotated[str, matches(r"http://localhost(:[0-9]+)?", like="http://localhost:PORT")]


class SettingsError(FileError):
    """An environment's settings cannot be used; the message lists every reason."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Firewall:
    """AWS WAF in front of the stage, billed by the month, the rule and the request.

    docs.aws.amazon.com/waf/latest/developerguide/waf-rule-statement-type-rate-based.html has the limits.
    """

    requests_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)]  # from one address


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SignIn:
    """Addresses for the sign-in with Cognito.

    `pages` are further addresses of the page, such as one under a domain of your own, beside the stage's
    address; ``{api_id}`` stands for the API's id. `local_address` is where the emulator's Cognito answers.
    """

    pages: Annotated[
        tuple[PageAddress, ...],
        Field(max_length=99),  # Cognito takes 100, one of which is the stage's own
        AfterValidator(distinct),
    ] = ()
    local_address: LocalAddress | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Throttle:
    """How many requests the gateway accepts, over all callers together."""

    requests_per_second: Annotated[int, Field(ge=1, le=10_000)]
    burst: Annotated[int, Field(ge=1, le=5_000)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Feedback:
    """Callers may say what an image shows; what they said is kept in a bucket of its own, and expires."""

    expire_days: Annotated[int, Field(ge=1, le=365)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Batch:
    """Transform jobs of `scripts/batch`: what is uploaded and answered has a bucket, and expires.

    Jobs may also read the images of other `buckets` of the account. A key of such a bucket must allow the
    model's role to decrypt.
    """

    expire_days: Annotated[int, Field(ge=1, le=365)]
    buckets: Annotated[
        tuple[
            Annotated[
                str, matches(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", like="a bucket's name, without s3://")
            ],
            ...,
        ],
        Field(max_length=20),
        AfterValidator(distinct),
    ] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Gates:
    """What a promotion asks for beyond the training's own gates.

    `shadow_hours` are hours in each of which the release, as a shadow of the served one, answered a request.
    """

    shadow_hours: Annotated[int, Field(ge=1, le=24 * 90)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GitHub:
    """The repository whose workflows may deliver here; its stack is `infra/stacks/delivery.py`.

    Tokens of repositories that were made or renamed since July 2026 name the ids of owner and repository:
    github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens.
    An account holds one provider of GitHub's tokens: where another stack made it, it is "existing".
    """

    repository: Annotated[
        str,
        matches(
            r"[A-Za-z0-9][A-Za-z0-9-]*(/[A-Za-z0-9._-]+|@[0-9]+/[A-Za-z0-9._-]+@[0-9]+)",
            like="owner/name, or with both ids owner@12/name@34",
        ),
    ]
    provider: Literal["own", "existing"] = "own"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Drift:
    """Limits on the shares of refusals and of class YES over the last `hours`.

    They are compared only if at least `minimum_requests` arrived in that time: shares of a few are noise.
    The share of YES may differ from `yes_share` by `yes_tolerance`.
    """

    hours: Annotated[int, Field(ge=1, le=24)]
    minimum_requests: Annotated[int, Field(ge=10, le=1_000_000)]
    refused_share: Share
    yes_share: Share
    yes_tolerance: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GoldenCanary:
    """A schedule for what `scripts/smoke` does after a deploy: checking the release's golden answers."""

    every_minutes: Annotated[int, Field(ge=5, le=1440)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Monitoring:
    """Dashboard, alarms and budget. Without `emails` the alarms reach only their topic."""

    latency_alarm_ms: Annotated[int, Field(ge=1, le=29_000)]  # API Gateway gives up after 29 s
    monthly_budget_usd: Annotated[int, Field(ge=1, le=1_000_000)]
    emails: Annotated[tuple[MailAddress, ...], Field(max_length=10), AfterValidator(distinct)] = ()
    drift: Drift | None = None
    golden_canary: GoldenCanary | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """Everything that differs between environments.

    Without `account` the stacks go to the deployer's account; nothing is looked up. `auth` is
    who may request a prediction, `allowed_origin` the other site whose pages may. With `firewall` AWS WAF
    inspects every request first. API Gateway logs as one role in a region: where another stack has set it,
    `api_log_role` is "existing". With `customer_key` a KMS key of the environment's own encrypts the bucket,
    images, volumes, logs and alarms. `bootstrap_qualifier` is that of `cdk bootstrap --qualifier`.
    """

    environment: EnvironmentName
    local: bool = False
    region: Annotated[str, matches(r"[a-z]{2,4}(-[a-z]+)+-[0-9]", like="a region's code, such as eu-west-1")]
    account: Annotated[str, matches(r"[0-9]{12}", like="the account's twelve digits, in quotes")] | None = (
        None
    )
    bootstrap_qualifier: Annotated[
        str, matches(r"[A-Za-z0-9_-]{1,10}", like="at most ten letters, digits, _ and -")
    ] = "hnb659fds"
    auth: Auth
    sign_in: SignIn | None = None
    firewall: Firewall | None = None
    allowed_origin: Origin | None = None
    throttle: Throttle
    hosting: Hosting
    log_retention_days: RetentionDays
    retain_data: bool
    termination_protection: bool
    api_log_role: Literal["own", "existing"] = "own"
    customer_key: bool = False
    monitoring: Monitoring | None = None
    feedback: Feedback | None = None
    batch: Batch | None = None
    training: Training | None = None
    gates: Gates | None = None
    github: GitHub | None = None

    @property
    def stack_account(self) -> str | None:
        """The account that the stacks name; in a local environment, the emulator's.

        The CDK CLI then refuses credentials of any other account, where a local environment's open API would
        be public.
        """
        return local_aws.ACCOUNT if self.local else self.account

    @property
    def endpoint_name(self) -> str:
        """The name of the endpoint in the settings' mode."""
        return names.endpoint(self.environment, mode=self.hosting.mode)

    @property
    def asynchronous(self) -> Async | None:
        """The hosting where predictions are answered later."""
        return self.hosting if isinstance(self.hosting, Async) else None

    @property
    def predict_path(self) -> str:
        """The API's path whose POST is a prediction; a star stands for the ids below it."""
        return "/predictions*" if self.asynchronous else "/predict"

    @property
    def data_capture(self) -> DataCapture | None:
        """What SageMaker captures at the endpoint; nothing at one that is not real-time."""
        return self.hosting.data_capture if isinstance(self.hosting, RealTime) else None

    @property
    def shadow(self) -> Shadow | None:
        """The release that gets copies of requests; serverless endpoints have none."""
        return self.hosting.shadow if isinstance(self.hosting, RealTime) else None

    @property
    def captures_answers(self) -> bool:
        """Whether SageMaker captures the endpoint's answers; otherwise only the gateway's log has them."""
        return self.data_capture is not None and "output" in self.data_capture.what


_SETTINGS = TypeAdapter(Settings)


def known_environments(folder: Path = ENVIRONMENTS) -> list[str]:
    """Names of the environments that have a settings file."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(environment: str, *, folder: Path = ENVIRONMENTS) -> Settings:
    """Read and check the settings of `environment`; raises `SettingsError` with everything that is wrong."""
    path = folder / f"{environment}.toml"
    if environment not in known_environments(folder):
        raise SettingsError(path, [f"no such environment; there are {', '.join(known_environments(folder))}"])
    written = _read(path)
    found = []
    if "environment" in written:
        found.append(Problem("environment", "environment: unknown key; it is the file's own name"))
    settings = None
    try:
        # Through JSON: only there is pydantic strict about values and still builds nested dataclasses.
        settings = _SETTINGS.validate_json(json.dumps(written | {"environment": environment}, default=str))
    except ValidationError as error:
        found += problems(error, unions=_UNIONS)
    found += broken_rules(written, invalid=[problem.key for problem in found])
    if settings is None or found:
        raise SettingsError(path, [problem.line for problem in found])
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise SettingsError(path, [f"not UTF-8, as TOML is: {error.reason} at byte {error.start}"]) from None
    except OSError as error:
        raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, [f"not TOML: {error}"]) from None
