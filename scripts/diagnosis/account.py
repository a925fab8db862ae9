"""Checks of the account that an environment is deployed to; each only reads.

UNVERIFIED on AWS: the quotas' names and codes, and the codes of what it refuses.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import boto3

from infra import names
from infra.config.hosting import Async, Serverless
from scripts.console import DeliveryError
from scripts.delivery.aws import AWS_ERRORS, CALLS, bootstrap_session, connect, find_stack, if_exists
from scripts.diagnosis.finding import examine
from scripts.pricing.price_list import price_list_client, products
from scripts.transform.run import DEFAULT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.config import Settings
    from scripts.diagnosis.finding import Finding, Found

    Check = Callable[[Settings, boto3.Session], Iterator[Found]]

LOOKUP_VERSION = 8  # of the bootstrap: aws-cdk-lib's MIN_LOOKUP_ROLE_BOOTSTRAP_STACK_VERSION
_QUOTAS = ("servicequotas:ListServiceQuotas", "servicequotas:ListAWSDefaultServiceQuotas")
_SERVERLESS_QUOTA = "L-96300102"  # total concurrency across all serverless endpoints
_LAMBDA_QUOTA = "L-B99A9384"  # concurrent executions


def examine_account(settings: Settings) -> list[Finding]:
    """Check the identity with the caller's own credentials, then the rest if there is one."""
    found = examine({"identity": partial(_identity, settings)})
    return found if found[0].status == "fault" else [*found, *preflight(settings)]


def preflight(settings: Settings) -> list[Finding]:
    """Check what a deployment needs, as the bootstrap's lookup role where it can be assumed."""
    try:
        session = bootstrap_session(settings, "lookup")
    except AWS_ERRORS:
        session = boto3.Session()

    def readable(check: Check, permissions: tuple[str, ...]) -> Iterator[Found]:
        try:
            yield from check(settings, session)
        except (DeliveryError, *AWS_ERRORS) as error:
            yield "not-readable", {"words": error, "permissions": ", ".join(permissions)}

    return examine({name: partial(readable, *check) for name, check in CHECKS.items()})


def _identity(settings: Settings) -> Iterator[Found]:
    try:
        connect(settings)
        caller = boto3.client("sts").get_caller_identity()["Arn"]
    except (DeliveryError, *AWS_ERRORS) as error:
        yield "identity-absent", {"words": str(error).partition("\n")[0]}
        return
    if caller.endswith(":root"):
        yield "identity-root", {"caller": caller}


def _region(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    client = session.client("account", config=CALLS)
    state = client.get_region_opt_status(RegionName=settings.region)["RegionOptStatus"]
    if not state.startswith("ENABLED"):
        yield "region-disabled", {"region": settings.region, "state": state}


def _bootstrap(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    texts = {"region": settings.region, "qualifier": settings.bootstrap_qualifier}
    name = f"/cdk-bootstrap/{settings.bootstrap_qualifier}/version"
    found = if_exists(session.client("ssm", config=CALLS).get_parameter, "ParameterNotFound", Name=name)
    if found is None:
        stack = find_stack(session.client("cloudformation", config=CALLS), "CDKToolkit")
        for parameter in stack.get("Parameters", []) if stack else []:
            if parameter.get("ParameterKey") == "Qualifier":
                yield "bootstrap-other", texts | {"other": parameter["ParameterValue"]}
                return
        yield "bootstrap-absent", texts
    elif (version := int(found["Parameter"]["Value"])) < LOOKUP_VERSION:
        yield "bootstrap-old", texts | {"version": version, "needed": LOOKUP_VERSION}


def _instance_type(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    hosting, region, what = settings.hosting, settings.region, "serverless endpoints"
    usage = "ServerlessInf:Mem-1GB"
    if not isinstance(hosting, Serverless):
        what, usage = hosting.instance_type, f"Host:{hosting.instance_type}"
    if not products(price_list_client(session), service="AmazonSageMaker", usage=usage, region=region):
        yield "not-offered", {"what": what, "region": region}


def _endpoint_quota(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    hosting, region = settings.hosting, settings.region
    if isinstance(hosting, Serverless):
        quota, most = _quota(session, "sagemaker", _SERVERLESS_QUOTA), hosting.max_concurrency
        if quota["Value"] < most:
            yield "quota-low", quota | {"needed": most, "use": "max_concurrency", "region": region}
        return
    # SageMaker has a quota for each instance type, whose codes tell nothing.
    quota = _quota(session, "sagemaker", f"{hosting.instance_type} for endpoint usage")
    if isinstance(hosting, Async):
        least, most = 1, hosting.max_instances
    else:
        shadows = hosting.instance_count if hosting.shadow else 0
        least = hosting.instance_count + shadows
        most = hosting.scaling.max_instances + shadows if hosting.scaling else least
    for name, count in (("quota-low", least), ("quota-tight", most)):
        if quota["Value"] < 2 * count:
            use = f"an update runs a second fleet beside {count} instances"
            yield name, quota | {"needed": 2 * count, "use": use, "region": region}
            return


def _job_quotas(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    needed = []
    if settings.batch:
        use = "scripts/batch runs transform jobs on it, unless --instance-type names another"
        needed.append((f"{DEFAULT_TYPE} for transform job usage", use))
    if settings.training:
        needed.append(
            (f"{settings.training.instance_type} for training job usage", "scripts/retrain trains on it")
        )
    for name, use in needed:
        quota = _quota(session, "sagemaker", name)
        if quota["Value"] < 1:
            yield "quota-tight", quota | {"needed": 1, "use": use, "region": settings.region}


def _lambda_quota(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    quota, burst = _quota(session, "lambda", _LAMBDA_QUOTA), settings.throttle.burst
    if quota["Value"] < burst:
        use = "the throttle admits as many requests at once, and callers get 5xx beyond the quota"
        yield "quota-tight", quota | {"needed": burst, "use": use, "region": settings.region}


def _quota(session: boto3.Session, service: str, code_or_name: str) -> dict[str, Any]:
    """Return a quota: the account's own value if it was ever changed, else AWS's default."""
    client = session.client("service-quotas", config=CALLS)
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        for quota in client.get_paginator(operation).paginate(ServiceCode=service).search("Quotas[]"):
            if code_or_name in (quota["QuotaCode"], quota["QuotaName"]):
                return dict(quota)
    raise DeliveryError(f"{service} lists no quota {code_or_name!r}")


def _retained(settings: Settings, session: boto3.Session) -> Iterator[Found]:
    """Yield what has the environment's tags although it has no registry stack."""
    environment = settings.environment
    stacks = session.client("cloudformation", config=CALLS)
    if find_stack(stacks, names.stack(environment, "registry")):
        return
    tags = (("project", names.PROJECT), ("environment", environment))
    client = session.client("resourcegroupstaggingapi", config=CALLS)
    pages = client.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": key, "Values": [value]} for key, value in tags],
        ResourceTypeFilters=["kms:key", "ecr:repository", "s3"],
    )
    if arns := [each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]]:
        yield "retained", {"environment": environment, "arns": ", ".join(arns)}


CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {
    "region": (_region, ("account:GetRegionOptStatus",)),
    "bootstrap": (_bootstrap, ("ssm:GetParameter", "cloudformation:DescribeStacks")),
    "instance-type": (_instance_type, ("pricing:GetProducts",)),
    "endpoint-quota": (_endpoint_quota, _QUOTAS),
    "lambda-quota": (_lambda_quota, _QUOTAS),
    "job-quotas": (_job_quotas, _QUOTAS),
    "retained": (_retained, ("cloudformation:DescribeStacks", "tag:GetResources")),
}
"""By name what is checked, and the permissions that it takes."""
