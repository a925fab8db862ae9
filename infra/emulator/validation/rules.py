"""What AWS checks between the members of a request, beyond its model: see docs/requests.md.

AWS documents the rules and few of its messages: the wording is unverified on AWS.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zoneinfo import available_timezones

from infra.config.hosting import has_local_disks

Json = Mapping[str, Any]
Checks = Iterator[tuple[object, str]]  # what must hold, and what is wrong otherwise; the first one counts

CODES = {
    "sagemaker": "ValidationException",
    "sagemaker-runtime": "ValidationError",
    "application-autoscaling": "ValidationException",
    "ecr": "InvalidParameterException",
    "apigateway": "BadRequestException",
}
# docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html, "Feature exclusions"
_NOT_SERVERLESS = {
    *("AcceleratorType", "AsyncInferenceConfig", "DataCaptureConfig", "EnableNetworkIsolation", "KmsKeyId"),
    *("ExplainerConfig", "InitialInstanceCount", "InstanceType", "ManagedInstanceScaling", "VolumeSizeInGB"),
    *("ShadowProductionVariants", "VpcConfig"),
}
MAX_TRANSFORM_MB = 100  # of a payload, and of all that are sent to an instance at once
_TRACKING = "TargetTrackingScalingPolicyConfiguration"
_METRICS = {
    "DesiredInstanceCount": ("ConcurrentRequestsPerModelHighResolution", "InvocationsPerInstance"),
    "DesiredProvisionedConcurrency": ("ProvisionedConcurrencyUtilization",),
}
_SCHEDULE = re.compile(r"at\(\S+\)|rate\(\d+ (minute|hour|day)s?\)|cron\((\S+ ){5}\S+\)")
_METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_PATH_PART = re.compile(r"[a-zA-Z0-9._:-]+|\{[a-zA-Z0-9._:-]+\+?\}")
_HEADER = re.compile(
    r"gatewayresponse\.header\.[\w-]+=('[^']*'|(context|method\.request|stageVariables)\..+)"
)


def broken(service: str, operation: str, request: Json) -> str | None:
    """Return what is wrong with a request that fits its model."""
    checks = _CHECKS.get((service, operation))
    return next((wrong for holds, wrong in checks(request) if not holds), None) if checks else None


def _model(r: Json) -> Checks:
    containers = r.get("Containers") or [r.get("PrimaryContainer") or {}]
    yield not (r.get("Containers") and r.get("PrimaryContainer")), "Containers excludes PrimaryContainer."
    named = [{"Image", "ModelPackageName"} & each.keys() for each in containers]
    yield all(named), "Each container needs an Image or a ModelPackageName."


def _endpoint_config(r: Json) -> Checks:
    shadows = r.get("ShadowProductionVariants") or []
    variants = [*r["ProductionVariants"], *shadows]
    yield len({v["VariantName"] for v in variants}) == len(variants), "Variants need distinct names."
    one_each = not shadows or len(variants) == 2  # noqa: PLR2004
    yield one_each, "A shadow variant must be the only one, beside exactly one production variant."
    for variant in variants:
        yield from _variant(r, variant)


def _variant(r: Json, v: Json) -> Checks:
    serverless, type_ = v.get("ServerlessConfig"), v.get("InstanceType", "")
    if serverless:
        refused = sorted(name for name in _NOT_SERVERLESS if r.get(name) or v.get(name))
        yield not refused, f"A serverless variant does not support {', '.join(refused)}."
        yield len(r["ProductionVariants"]) == 1, "A serverless variant must be the only one."
        yield serverless["MemorySizeInMB"] % 1024 == 0, "MemorySizeInMB must be a multiple of 1024."
        within = serverless.get("ProvisionedConcurrency", 0) <= serverless["MaxConcurrency"]
        yield within, "ProvisionedConcurrency exceeds MaxConcurrency."
    else:
        yield type_ or v.get("InstancePools"), "A variant needs an InstanceType or a ServerlessConfig."
        yield v.get("InitialInstanceCount") or not type_, "A variant on instances needs InitialInstanceCount."
    sized = [name for name in ("KmsKeyId", "VolumeSizeInGB") if r.get(name) or v.get(name)]
    yield not (sized and has_local_disks(type_)), f"{type_} has local storage, which takes no {sized}."


def _transform_job(r: Json) -> Checks:
    # botocore's CreateTransformJob: MaxPayloadInMB, whose default is 6, and VolumeKmsKeyId
    payload, resources = r.get("MaxPayloadInMB", 6), r["TransformResources"]
    yield payload <= MAX_TRANSFORM_MB, "MaxPayloadInMB must be at most 100."
    product = r.get("MaxConcurrentTransforms", 0) * payload
    yield product <= MAX_TRANSFORM_MB, "MaxConcurrentTransforms times MaxPayloadInMB must be at most 100."
    encrypted, type_ = resources.get("VolumeKmsKeyId"), resources["InstanceType"]
    yield (
        not (encrypted and has_local_disks(type_)),
        f"{type_} has local storage, which takes no VolumeKmsKeyId.",
    )
    uri = r["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    yield re.fullmatch(r"s3://[^/]+/.+", uri), f"S3Uri {uri} must be of the form s3://bucket/key."


def _async_invocation(r: Json) -> Checks:
    # botocore's InvokeEndpointAsync: Body
    yield bool(r.get("Body")) != ("InputLocation" in r), "Exactly one of Body and InputLocation is needed."
    yield not r.get("Body"), "The emulated SageMaker takes an InputLocation only."


def _pipeline(r: Json) -> Checks:
    # docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-pipelines-define.html
    text = r["PipelineDefinition"]
    try:
        definition = json.loads(text)
        steps = [each["Name"] for each in definition["Steps"] if each["Type"] and each["Arguments"]]
        declared = {each["Name"] for each in definition.get("Parameters", ())}
    except (ValueError, LookupError, TypeError):
        steps, declared = [], set()
    yield steps, "PipelineDefinition must be JSON whose Steps have Name, Type and Arguments."
    unknown = {*re.findall(r'"Get": ?"Parameters\.(\w+)"', text)} - declared
    yield not unknown, f"PipelineDefinition does not declare its parameters {', '.join(sorted(unknown))}."


def _guardrails(r: Json) -> Checks:
    # docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
    config = r.get("DeploymentConfig", {})
    policy = config.get("BlueGreenUpdatePolicy")
    if not policy:
        return
    yield "RollingUpdatePolicy" not in config, "RollingUpdatePolicy excludes BlueGreenUpdatePolicy."
    routing = policy["TrafficRoutingConfiguration"]
    kind, stages = routing["Type"], 1
    for type_, member, least in (("CANARY", "CanarySize", 1), ("LINEAR", "LinearStepSize", 10)):
        yield (
            (kind == type_) == (member in routing),
            f"{member} goes with the type {type_}, and only with it.",
        )
        if kind == type_ and routing[member]["Type"] == "CAPACITY_PERCENT":
            percent = routing[member]["Value"]
            yield percent in range(least, 51), f"{member} must be from {least} to 50 percent."
            stages = math.ceil(100 / percent) if kind == "LINEAR" else 1
    waits = stages * routing["WaitIntervalInSeconds"] + policy.get("TerminationWaitInSeconds", 0)
    in_time = waits <= policy.get("MaximumExecutionTimeoutInSeconds", waits)
    yield in_time, f"The update waits {waits} s, longer than MaximumExecutionTimeoutInSeconds."


def _scalable(r: Json) -> Checks:
    namespace, dimension = r["ServiceNamespace"], r["ScalableDimension"]
    resource = r"endpoint/[^/]+/variant/[^/]+" if dimension.startswith("sagemaker:variant:") else ".+"
    supported = dimension.startswith(f"{namespace}:") and re.fullmatch(resource, r["ResourceId"])
    yield supported, "Unsupported service namespace, resource type or scalable dimension"
    limits = r.get("ScalableTargetAction", r)
    ordered = limits.get("MinCapacity", 0) <= limits.get("MaxCapacity", math.inf)
    yield ordered, "Maximum capacity cannot be less than minimum capacity"
    yield limits.get("MinCapacity", 0) >= 0, "Minimum capacity cannot be less than 0"


def _schedule(r: Json) -> Checks:
    yield from _scalable(r)
    yield r.get("ScalableTargetAction"), "ScalableTargetAction needs a capacity"
    yield _SCHEDULE.fullmatch(r.get("Schedule", "")), "Schedule must be at(...), rate(...) or cron(...)"
    yield r.get("Timezone", "UTC") in available_timezones(), "Timezone is not a known one"


def _policy(r: Json) -> Checks:
    yield from _scalable(r)
    tracks = r.get("PolicyType") == "TargetTrackingScaling"
    yield tracks == (_TRACKING in r), f"{_TRACKING} goes with TargetTrackingScaling, and only with it"
    typed = "AdjustmentType" in r.get("StepScalingPolicyConfiguration", {"AdjustmentType": None})
    yield typed, "AdjustmentType is required if you are adding a new step scaling policy configuration"
    tracking = r.get(_TRACKING, {"TargetValue": 1})
    metrics = {"PredefinedMetricSpecification", "CustomizedMetricSpecification"} & tracking.keys()
    yield len(metrics) == tracks, "TargetTrackingScaling needs a predefined or a customized metric, not both"
    metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    known = [f"SageMakerVariant{name}" for name in _METRICS.get(r["ScalableDimension"].split(":")[-1], ())]
    only = f"only supports the following predefined metric types: {', '.join(known)}"
    yield not metric or not known or metric in known, f"Scalable dimension {r['ScalableDimension']} {only}"
    yield tracking["TargetValue"] > 0, "TargetValue must be above 0"
    cooldowns = [tracking.get(name, 0) for name in ("ScaleInCooldown", "ScaleOutCooldown")]
    yield min(cooldowns) >= 0, "A cooldown must not be negative"


def _repository(r: Json) -> Checks:
    encryption = r.get("encryptionConfiguration", {"encryptionType": "AES256"})
    with_kms = encryption["encryptionType"].startswith("KMS")
    yield with_kms or "kmsKey" not in encryption, "Invalid parameter at 'kmsKey': encryptionType is not KMS"


def _lifecycle(r: Json) -> Checks:
    try:
        rules = json.loads(r["lifecyclePolicyText"])["rules"]
        complete = all(each["selection"]["countNumber"] and each["action"]["type"] for each in rules)
        distinct = len({each["rulePriority"] for each in rules}) == len(rules)
    except (ValueError, LookupError, TypeError):
        complete = distinct = False
    at = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint:"
    yield complete, f"{at} 'Lifecycle policy validation failure: selection or action is missing'"
    yield distinct, f"{at} 'Lifecycle policy validation failure: rulePriority is not unique'"


def _rest_api(r: Json) -> Checks:
    compressible = r.get("minimumCompressionSize", 0) in range(10_485_761)
    yield compressible, "Invalid minimum compression size, must be between 0 and 10485760"
    types, mode = r.get("endpointConfiguration", {}).get("types", ["EDGE"]), r.get("endpointAccessMode")
    policy = r.get("securityPolicy", "TLS_1_0")
    enhanced = policy.startswith("SecurityPolicy_")
    fits = not enhanced or policy.endswith("_EDGE") == ("EDGE" in types)
    yield fits, f"Invalid security policy {policy} for this endpoint type"
    yield enhanced == bool(mode), f"Invalid endpoint access mode {mode} for {policy}"


def _resource(r: Json) -> Checks:
    allowed = "a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end"
    yield _PATH_PART.fullmatch(r["pathPart"]), f"Resource's path part only allow {allowed}."


def _method(r: Json) -> Checks:
    yield r["httpMethod"] in _METHODS, "Invalid HTTP method specified"
    needs = {"NONE": False, "AWS_IAM": False, "CUSTOM": True, "COGNITO_USER_POOLS": True}
    kind = r["authorizationType"]
    yield kind in needs, f"Invalid authorization type specified, must be one of {', '.join(needs)}"
    yield r.get("authorizerId") or not needs[kind], f"Authorization type {kind} needs an authorizer"


def _integration(r: Json) -> Checks:
    in_time = r.get("timeoutInMillis", 50) in range(50, 29_001)
    yield in_time, "Timeout should be between 50 ms and 29000 ms"
    called = r["type"] == "MOCK" or r.get("integrationHttpMethod")
    yield called, "Enumeration value for HttpMethod must be non-empty"
    found = not r["type"].startswith("AWS") or r.get("uri", "").startswith("arn:")
    yield found, "Invalid ARN specified in the request"


def _gateway_response(r: Json) -> Checks:
    for name, value in r.get("responseParameters", {}).items():
        yield _HEADER.fullmatch(f"{name}={value}"), f"Invalid mapping expression specified: {name}: {value}"


def _stage(r: Json) -> Checks:
    named = re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", r["stageName"])
    yield named, "Stage name only allows a-zA-Z0-9_-"


_CHECKS: Mapping[tuple[str, str], Callable[[Json], Checks]] = {
    ("sagemaker", "CreateModel"): _model,
    ("sagemaker", "CreateEndpointConfig"): _endpoint_config,
    ("sagemaker", "CreateEndpoint"): _guardrails,
    ("sagemaker", "CreateTransformJob"): _transform_job,
    ("sagemaker-runtime", "InvokeEndpointAsync"): _async_invocation,
    ("sagemaker", "CreatePipeline"): _pipeline,
    ("sagemaker", "UpdateEndpoint"): _guardrails,
    ("application-autoscaling", "RegisterScalableTarget"): _scalable,
    ("application-autoscaling", "PutScheduledAction"): _schedule,
    ("application-autoscaling", "PutScalingPolicy"): _policy,
    ("ecr", "CreateRepository"): _repository,
    ("ecr", "PutLifecyclePolicy"): _lifecycle,
    ("apigateway", "CreateResource"): _resource,
    ("apigateway", "CreateRestApi"): _rest_api,
    ("apigateway", "CreateStage"): _stage,
    ("apigateway", "PutGatewayResponse"): _gateway_response,
    ("apigateway", "PutIntegration"): _integration,
    ("apigateway", "PutMethod"): _method,
}
