"""What each type of resource costs: the one list in which every type that a template declares has its place.

A type is priced by a rule, or costs nothing by itself for a reason that stands here. One that is in neither
stops the estimate, and with it the tests: whoever declares something new says here what it costs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Properties = Mapping[str, Any]  # of a shape that only AWS defines

KB_PER_GB = 1_000_000
MS_PER_S = 1000
MB_PER_GB = 1024
MILLION = 1_000_000
THOUSAND = 1000
ANSWER_METRICS = 3  # what the gateway's Lambda counts: infra/gateway/metrics.py
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What is supposed of a month. Every figure is an option of `scripts/cost`; none was measured on AWS."""

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

    @property
    def gateway_requests(self) -> int:
        """All that comes in at the gateway; a page view takes the page and the health answer."""
        return self.requests_per_month + 2 * self.page_views_per_month


@dataclass(frozen=True)
class Line:
    """A quantity of something that has a price."""

    what: str
    price: str
    quantity: float


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a rule may look at: the traffic, the hours of a month, and every resource of the environment."""

    traffic: Traffic
    hours: float
    resources: Mapping[str, Mapping[str, Any]]

    @property
    def predictions(self) -> float:
        """What the endpoint is asked in a month: by callers, and by the clock for its golden answers."""
        return self.traffic.requests_per_month + self.golden

    @property
    def golden(self) -> float:
        """How many golden answers are asked for in a month, each by a call of the gateway's Lambda."""
        return sum(
            self.ticks(id_) * len(json.loads(function["Environment"]["Variables"]["GOLDEN"]))
            for id_, function in self.of_type("AWS::Lambda::Function")
            if "GOLDEN" in function.get("Environment", {}).get("Variables", {})
        )

    def ticks(self, function: str) -> float:
        """How often a Lambda is called in a month by the clock; 0 for one that has no schedule."""
        name = function.partition(".")[2]
        return sum(
            _ticks(rule["ScheduleExpression"], self.hours)
            for _, rule in self.of_type("AWS::Events::Rule")
            if any(name in json.dumps(target.get("Arn")) for target in rule.get("Targets", []))
        )

    def of_type(self, kind: str) -> Iterator[tuple[str, Properties]]:
        """Yield logical id and properties of each resource of a type."""
        for id_, resource in self.resources.items():
            if resource["Type"] == kind:
                yield id_, resource.get("Properties", {})


@dataclass(frozen=True)
class Found:
    """One resource, among all that is declared."""

    id: str
    properties: Properties
    declared: Declared


def _endpoint_config(found: Found) -> Iterator[Line]:
    for variant in found.properties["ProductionVariants"]:
        yield from _variant(variant, found.declared)


def _variant(variant: Properties, declared: Declared) -> Iterator[Line]:
    traffic = declared.traffic
    if serverless := variant.get("ServerlessConfig"):
        gigabytes = serverless["MemorySizeInMB"] / MB_PER_GB
        seconds = declared.predictions * traffic.model_ms / MS_PER_S
        yield Line(f"serverless endpoint, {gigabytes:g} GB", "serverless-gb-second", gigabytes * seconds)
        if provisioned := serverless.get("ProvisionedConcurrency"):
            raise DeliveryError(
                f"ProvisionedConcurrency = {provisioned}: there is no price for it in prices.toml."
            )
    else:
        kind, count = variant["InstanceType"], variant["InitialInstanceCount"]
        yield Line(f"{count} x {kind}, all hours", f"instance-{kind}", count * declared.hours)
    moved = declared.predictions * (traffic.image_kb + traffic.answer_kb) / KB_PER_GB
    yield Line("data in and out of the endpoint", "serverless-data-gb", moved)


def _function(found: Found) -> Iterator[Line]:
    traffic = found.declared.traffic
    ticks = found.declared.ticks(found.id)
    calls = ticks or traffic.gateway_requests + found.declared.golden
    name = "scheduled Lambda" if ticks else "gateway's Lambda"
    architecture = "arm" if found.properties.get("Architectures") == ["arm64"] else "x86"
    gigabytes = found.properties.get("MemorySize", 128) / MB_PER_GB
    seconds = calls * traffic.lambda_ms / MS_PER_S
    yield Line(f"{name}, {gigabytes:g} GB", f"lambda-{architecture}-gb-second", gigabytes * seconds)
    yield Line(f"{name}, calls", "lambda-requests-million", calls / MILLION)
    if found.properties.get("TracingConfig", {}).get("Mode") == "Active":
        yield Line(f"{name}, traces of all calls", "xray-traces-million", calls / MILLION)
    if not ticks:
        yield Line("metrics of answers", "custom-metric-month", ANSWER_METRICS)


def _ticks(schedule: str, hours: float) -> float:
    match = _RATE.fullmatch(schedule)
    if match is None:
        raise DeliveryError(
            f"Schedule {schedule!r}: scripts/delivery/cost_rules.py reckons with rate(...) only."
        )
    return hours * 60 / (int(match[1]) * _MINUTES[match[2]])


def _rest_api(found: Found) -> Iterator[Line]:
    traffic = found.declared.traffic
    yield Line("gateway's requests", "api-requests-million", traffic.gateway_requests / MILLION)
    out = traffic.requests_per_month * traffic.answer_kb + traffic.page_views_per_month * traffic.page_kb
    yield Line("answers and pages out", "transfer-out-gb", out / KB_PER_GB)


def _web_acl(found: Found) -> Iterator[Line]:
    yield Line("web ACL", "waf-acl-month", 1)
    yield Line(
        f"{len(found.properties['Rules'])} rules and groups", "waf-rule-month", len(found.properties["Rules"])
    )
    yield Line(
        "requests through WAF", "waf-requests-million", found.declared.traffic.gateway_requests / MILLION
    )


def _user_pool(found: Found) -> Iterator[Line]:
    yield Line("people who sign in", "cognito-user-month", found.declared.traffic.users_per_month)


def _bucket(found: Found) -> Iterator[Line]:
    traffic = found.declared.traffic
    captured = _captured_share(found.declared)
    if "VersioningConfiguration" in found.properties:  # the models' bucket; captures are not versioned
        yield Line("model artifacts", "s3-gb-month", traffic.artifacts_gb)
        return
    requests = traffic.requests_per_month * captured
    yield Line("captured answers, written", "s3-puts-thousand", requests / THOUSAND)
    yield Line("captured answers, kept a month", "s3-gb-month", requests * traffic.answer_kb / KB_PER_GB)


def _captured_share(declared: Declared) -> float:
    for _, config in declared.of_type("AWS::SageMaker::EndpointConfig"):
        if capture := config.get("DataCaptureConfig"):
            return float(capture["InitialSamplingPercentage"]) / 100
    return 0.0


def _repository(found: Found) -> Iterator[Line]:
    yield Line("serving images", "ecr-gb-month", found.declared.traffic.serving_images_gb)


def _one(what: str, price: str) -> Callable[[Found], Iterator[Line]]:
    """Return the rule of what is billed by the piece."""
    return lambda _found: iter([Line(what, price, 1)])


def _alarm(found: Found) -> Iterator[Line]:
    looked_at = sum("MetricStat" in each for each in found.properties.get("Metrics", [])) or 1
    yield Line("metrics under alarms", "alarm-metric-month", looked_at)


def _metric_filter(found: Found) -> Iterator[Line]:
    yield Line("metrics from logs", "custom-metric-month", len(found.properties["MetricTransformations"]))


def _vpc_endpoint(found: Found) -> Iterator[Line]:
    if found.properties.get("VpcEndpointType") == "Interface":
        zones = len(found.properties["SubnetIds"])
        yield Line(f"interface endpoint in {zones} zones", "vpc-endpoint-hour", zones * found.declared.hours)


def _nat_gateway(found: Found) -> Iterator[Line]:
    yield Line("NAT gateway", "nat-gateway-hour", found.declared.hours)


PRICED: Mapping[str, Callable[[Found], Iterator[Line]]] = {
    "AWS::ApiGateway::RestApi": _rest_api,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _one("dashboard", "dashboard-month"),
    "AWS::Cognito::UserPool": _user_pool,
    "AWS::EC2::NatGateway": _nat_gateway,
    "AWS::EC2::VPCEndpoint": _vpc_endpoint,
    "AWS::ECR::Repository": _repository,
    "AWS::KMS::Key": _one("customer key", "kms-key-month"),
    "AWS::Lambda::Function": _function,
    "AWS::Logs::MetricFilter": _metric_filter,
    "AWS::S3::Bucket": _bucket,
    "AWS::SageMaker::EndpointConfig": _endpoint_config,
    "AWS::WAFv2::WebACL": _web_acl,
}

_WITH_API = "billed with the API's requests"
_NO_CHARGE = "AWS does not charge for it"
_WITH_ENDPOINT = "billed by the endpoint's configuration"

FREE: Mapping[str, str] = {
    "AWS::ApiGateway::Account": _WITH_API,
    "AWS::ApiGateway::ApiKey": _WITH_API,
    "AWS::ApiGateway::Authorizer": _WITH_API,
    "AWS::ApiGateway::Deployment": _WITH_API,
    "AWS::ApiGateway::GatewayResponse": _WITH_API,
    "AWS::ApiGateway::Method": _WITH_API,
    "AWS::ApiGateway::Resource": _WITH_API,
    "AWS::ApiGateway::Stage": f"{_WITH_API}; no cache is declared",
    "AWS::ApiGateway::UsagePlan": _WITH_API,
    "AWS::ApiGateway::UsagePlanKey": _WITH_API,
    "AWS::ApplicationAutoScaling::ScalableTarget": "billed by the instances that it adds, which are left out",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "its two alarms are left out",
    "AWS::Budgets::Budget": "a budget without actions is not charged for",
    "AWS::CDK::Metadata": "no resource",
    "AWS::Cognito::UserPoolClient": "billed with the pool's people",
    "AWS::Cognito::UserPoolDomain": "billed with the pool's people",
    "AWS::Cognito::UserPoolResourceServer": "billed with the pool's people",
    "AWS::EC2::SecurityGroup": _NO_CHARGE,
    "AWS::Events::Rule": "a schedule's own events are not charged for; its Lambda is",
    "AWS::IAM::OIDCProvider": _NO_CHARGE,
    "AWS::IAM::Policy": _NO_CHARGE,
    "AWS::IAM::Role": _NO_CHARGE,
    "AWS::KMS::Alias": _NO_CHARGE,
    "AWS::Lambda::EventInvokeConfig": _NO_CHARGE,
    "AWS::Lambda::Permission": _NO_CHARGE,
    "AWS::Logs::LogGroup": "billed by what is written, which stands in the line on logs",
    "AWS::S3::BucketPolicy": _NO_CHARGE,
    "AWS::SNS::Subscription": "mails by the thousand, and there are a few",
    "AWS::SNS::Topic": "messages by the million, and there are a few",
    "AWS::SNS::TopicPolicy": _NO_CHARGE,
    "AWS::SSM::Parameter": "a standard parameter is not charged for",
    "AWS::SageMaker::Endpoint": _WITH_ENDPOINT,
    "AWS::SageMaker::Model": _WITH_ENDPOINT,
    "AWS::WAFv2::LoggingConfiguration": "what it logs, blocked requests, is left out",
    "AWS::WAFv2::WebACLAssociation": "billed with the web ACL",
}

LEFT_OUT = (
    "free tiers, discounts, savings plans and taxes",
    "instances that auto scaling adds or off hours spare, and the second fleet during an update",
    "provisioning, training, and whatever builds and stores outside of these stacks (the CDK's bootstrap)",
    "requests to S3, KMS, ECR and SSM, of which there are few, and images older than the stated gigabytes",
    "requests that are refused, retried or attacks, and what is logged of them",
)


def lines(declared: Declared) -> Iterator[Line]:
    """Yield what every resource costs, and what the environment's logs do.

    Raises
    ------
    DeliveryError
        If a type has neither a rule nor a reason, naming all such types.
    """
    unknown = {each["Type"] for each in declared.resources.values()} - PRICED.keys() - FREE.keys()
    if unknown:
        raise DeliveryError(
            f"Nothing is known of what these cost: {', '.join(sorted(unknown))}. "
            "Give each a rule or a reason in scripts/delivery/cost_rules.py."
        )
    for id_, resource in declared.resources.items():
        if rule := PRICED.get(resource["Type"]):
            yield from rule(Found(id_, resource.get("Properties", {}), declared))
    if any(True for _ in declared.of_type("AWS::Logs::LogGroup")):
        written = (
            (declared.traffic.gateway_requests + declared.golden)
            * declared.traffic.log_kb_per_request
            / KB_PER_GB
        )
        yield Line("log lines taken in", "logs-ingested-gb", written)
        yield Line("log lines kept a month", "logs-stored-gb-month", written)
