"""What each resource type costs: every declared type has a rule here, or a reason in prices.toml to be free.

A type that has neither ends the estimate, so that a new one is considered.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.config.rollout import linear_steps
from infra.lambdas.gateway.metrics import OUTCOMES
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Properties = Mapping[str, Any]  # AWS defines their shape
    Rule = Callable[[str, Properties, "EstimateInput"], Iterator["Line"]]

KB_PER_GB = 1_000_000
MS_PER_S = 1000
MB_PER_GB = 1024
MILLION = 1_000_000
THOUSAND = 1000
S_PER_HOUR = 3600
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Assumptions about a month, each an option of `scripts/cost`; none was measured on AWS."""

    requests_per_month: int = 10_000
    page_views_per_month: int = 1_000
    image_kb: int = 200
    answer_kb: int = 10
    page_kb: int = 60
    model_ms: int = 300
    lambda_ms: int = 500
    log_kb_per_request: int = 2
    artifacts_gb: float = 0.1
    serving_images_gb: float = 1.0
    users_per_month: int = 10
    updates_per_month: int = 4
    update_start_s: int = 600
    async_hours_per_month: int = 176

    @property
    def gateway_requests(self) -> int:
        """Requests to the gateway; a page view gets the page and the health check."""
        return self.requests_per_month + 2 * self.page_views_per_month


@dataclass(frozen=True)
class Line:
    """A quantity of something that has a price."""

    what: str
    price: str
    quantity: float


@dataclass(frozen=True, kw_only=True)
class EstimateInput:
    """What a rule may read: the traffic, the hours of a month, and all resources of the environment."""

    traffic: Traffic
    hours: float
    resources: Mapping[str, Mapping[str, Any]]

    @property
    def predictions(self) -> float:
        """Predictions of the endpoint in a month: for callers, and for the scheduled canary."""
        return self.traffic.requests_per_month + self.golden

    @property
    def golden(self) -> float:
        """Golden phantoms that the canary sends in a month, each by an invocation of the gateway's Lambda."""
        return sum(
            self.invocations(id_) * len(json.loads(function["Environment"]["Variables"]["GOLDEN"]))
            for id_, function in self.of_type("AWS::Lambda::Function")
            if "GOLDEN" in function.get("Environment", {}).get("Variables", {})
        )

    def invocations(self, function: str) -> float:
        """Scheduled invocations of a Lambda in a month; 0 without a schedule."""
        name = function.partition(".")[2]
        return sum(
            self.hours * 60 / _minutes(rule["ScheduleExpression"])
            for _, rule in self.of_type("AWS::Events::Rule")
            if any(name in json.dumps(target.get("Arn")) for target in rule.get("Targets", []))
        )

    def of_type(self, kind: str) -> Iterator[tuple[str, Properties]]:
        """Yield logical id and properties of each resource of a type."""
        for id_, resource in self.resources.items():
            if resource["Type"] == kind:
                yield id_, resource.get("Properties", {})


def _minutes(schedule: str) -> int:
    match = _RATE.fullmatch(schedule)
    if match is None:
        raise DeliveryError(f"Schedule {schedule!r}: scripts/pricing/rules.py only knows rate(...).")
    return int(match[1]) * _MINUTES[match[2]]


def _endpoint_config(_id: str, properties: Properties, declared: EstimateInput) -> Iterator[Line]:
    traffic = declared.traffic
    for variant, share in _variants(properties):
        if serverless := variant.get("ServerlessConfig"):
            if provisioned := serverless.get("ProvisionedConcurrency"):
                raise DeliveryError(
                    f"ProvisionedConcurrency = {provisioned}: prices.toml has no price for it."
                )
            gigabytes = serverless["MemorySizeInMB"] / MB_PER_GB
            seconds = declared.predictions * traffic.model_ms / MS_PER_S
            yield Line(f"serverless endpoint, {gigabytes:g} GB", "serverless-gb-second", gigabytes * seconds)
        else:
            kind, count = variant["InstanceType"], variant["InitialInstanceCount"]
            hours, when = declared.hours, "all hours"
            if "AsyncInferenceConfig" in properties:
                hours, when = traffic.async_hours_per_month, "hours with a backlog"
            yield Line(f"{count} x {kind}, {when}", f"instance-{kind}", count * hours)
        moved = share * declared.predictions * (traffic.image_kb + traffic.answer_kb) / KB_PER_GB
        yield Line("data in and out of the endpoint", "serverless-data-gb", moved)


def _variants(config: Properties) -> Iterator[tuple[Properties, float]]:
    """Yield each variant, and its shadow, with the share of the requests that it gets."""
    for variant in config["ProductionVariants"]:
        yield variant, 1
    for variant in config.get("ShadowProductionVariants", []):
        yield variant, variant["InitialVariantWeight"]


def _endpoint(_id: str, properties: Properties, declared: EstimateInput) -> Iterator[Line]:
    """Yield the second fleet that runs beside the first while an update starts, bakes and waits."""
    policy = properties.get("DeploymentConfig", {}).get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {})
    step = routing.get("LinearStepSize", {}).get("Value")
    baking = routing.get("WaitIntervalInSeconds", 0) * (linear_steps(step) if step else 1)
    seconds = declared.traffic.update_start_s + baking + policy.get("TerminationWaitInSeconds", 0)
    hours = declared.traffic.updates_per_month * seconds / S_PER_HOUR
    for _, config in declared.of_type(_ENDPOINT_CONFIG):
        for variant, _ in _variants(config):
            if kind := variant.get("InstanceType"):
                count = variant["InitialInstanceCount"]
                yield Line(f"{count} x {kind} again, during updates", f"instance-{kind}", count * hours)


def _scaling_policy(_id: str, properties: Properties, _declared: EstimateInput) -> Iterator[Line]:
    """Yield the two alarms that target tracking makes; of a metric every ten seconds, they are so too."""
    if tracking := properties.get("TargetTrackingScalingPolicyConfiguration"):
        high = "HighResolution" in json.dumps(tracking)
        yield Line("alarms of scaling", f"alarm-{'high-resolution-' if high else ''}metric-month", 2)


def _function(id_: str, properties: Properties, declared: EstimateInput) -> Iterator[Line]:
    scheduled = declared.invocations(id_)
    calls = scheduled or declared.traffic.gateway_requests + declared.golden
    name = "scheduled Lambda" if scheduled else "gateway's Lambda"
    architecture = "arm" if properties.get("Architectures") == ["arm64"] else "x86"
    gigabytes = properties.get("MemorySize", 128) / MB_PER_GB
    seconds = calls * declared.traffic.lambda_ms / MS_PER_S
    yield Line(f"{name}, {gigabytes:g} GB", f"lambda-{architecture}-gb-second", gigabytes * seconds)
    yield Line(f"{name}, calls", "lambda-requests-million", calls / MILLION)
    if properties.get("TracingConfig", {}).get("Mode") == "Active":
        yield Line(f"{name}, traces of all calls", "xray-traces-million", calls / MILLION)
    if not scheduled:
        yield Line("metrics of outcomes", "custom-metric-month", len(OUTCOMES))


def _rest_api(_id: str, _properties: Properties, declared: EstimateInput) -> Iterator[Line]:
    traffic = declared.traffic
    yield Line("gateway's requests", "api-requests-million", traffic.gateway_requests / MILLION)
    out = traffic.requests_per_month * traffic.answer_kb + traffic.page_views_per_month * traffic.page_kb
    yield Line("answers and pages out", "transfer-out-gb", out / KB_PER_GB)


def _web_acl(_id: str, properties: Properties, declared: EstimateInput) -> Iterator[Line]:
    rules = len(properties["Rules"])
    yield Line("web ACL", "waf-acl-month", 1)
    yield Line(f"{rules} rules and groups", "waf-rule-month", rules)
    yield Line("requests through WAF", "waf-requests-million", declared.traffic.gateway_requests / MILLION)


def _bucket(_id: str, properties: Properties, declared: EstimateInput) -> Iterator[Line]:
    traffic = declared.traffic
    if "VersioningConfiguration" in properties:  # the models' bucket; that of captured data is not versioned
        yield Line("model artifacts", "s3-gb-month", traffic.artifacts_gb)
        return
    # People give few labels, of less than a kilobyte each; scripts/batch names its own costs; and what is
    # queued is gone in days.
    if re.search("-(labels|batch|train|async)-", json.dumps(properties["BucketName"])):
        return
    requests = sum(
        traffic.requests_per_month * share * config["DataCaptureConfig"]["InitialSamplingPercentage"] / 100
        for _, config in declared.of_type(_ENDPOINT_CONFIG)
        for _, share in (_variants(config) if "DataCaptureConfig" in config else ())
    )
    yield Line("captured answers, written", "s3-puts-thousand", requests / THOUSAND)
    yield Line("captured answers, kept a month", "s3-gb-month", requests * traffic.answer_kb / KB_PER_GB)


def _one(
    what: str, price: str, quantity: Callable[[Properties, EstimateInput], float] = lambda *_: 1
) -> Rule:
    """Return the rule of a resource with a single price."""
    return lambda _id, properties, declared: iter([Line(what, price, quantity(properties, declared))])


_ENDPOINT_CONFIG = "AWS::SageMaker::EndpointConfig"

PRICED: Mapping[str, Rule] = {
    "AWS::ApiGateway::RestApi": _rest_api,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::CloudWatch::Alarm": _one(
        "metrics under alarms",
        "alarm-metric-month",
        lambda alarm, _: sum("MetricStat" in metric for metric in alarm.get("Metrics", [])) or 1,
    ),
    "AWS::CloudWatch::Dashboard": _one("dashboard", "dashboard-month"),
    "AWS::Cognito::UserPool": _one(
        "people who sign in", "cognito-user-month", lambda _, declared: declared.traffic.users_per_month
    ),
    "AWS::ECR::Repository": _one(
        "serving images", "ecr-gb-month", lambda _, declared: declared.traffic.serving_images_gb
    ),
    "AWS::KMS::Key": _one("customer key", "kms-key-month"),
    "AWS::Lambda::Function": _function,
    "AWS::Logs::MetricFilter": _one(
        "metrics from logs", "custom-metric-month", lambda logs, _: len(logs["MetricTransformations"])
    ),
    "AWS::S3::Bucket": _bucket,
    "AWS::SageMaker::Endpoint": _endpoint,
    _ENDPOINT_CONFIG: _endpoint_config,
    "AWS::SecretsManager::Secret": _one("key of request ids", "secret-month"),
    "AWS::WAFv2::WebACL": _web_acl,
}


def lines(declared: EstimateInput, *, free: Collection[str]) -> Iterator[Line]:
    """Yield what every resource and the logs cost; a type with neither a rule nor a reason is an error."""
    unknown = {resource["Type"] for resource in declared.resources.values()} - PRICED.keys() - set(free)
    if unknown:
        raise DeliveryError(
            f"The cost of these is unknown: {', '.join(sorted(unknown))}. "
            "Give each a rule in scripts/pricing/rules.py, or in prices.toml a reason why it is free."
        )
    for id_, resource in declared.resources.items():
        if rule := PRICED.get(resource["Type"]):
            yield from rule(id_, resource.get("Properties", {}), declared)
    if any(True for _ in declared.of_type("AWS::Logs::LogGroup")):
        requests = declared.traffic.gateway_requests + declared.golden
        written = requests * declared.traffic.log_kb_per_request / KB_PER_GB
        yield Line("logs ingested", "logs-ingested-gb", written)
        yield Line("logs stored for a month", "logs-stored-gb-month", written)
