"""Delete the models and endpoint configurations of earlier releases, which CloudFormation keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra import names
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import boto3

_KINDS = (("EndpointConfig", "endpoint_config"), ("Model", "model"))
TYPES = tuple(f"AWS::SageMaker::{kind}" for kind, _ in _KINDS)


def prune(
    environment: str, *, reader: boto3.Session, deleter: boto3.Session, held: Collection[str] = ()
) -> None:
    """Delete what has the environment's tag, and neither its stack nor any endpoint of the region names.

    A failure does not keep the rest from being deleted; a `DeliveryError` names all of them at the end.

    Parameters
    ----------
    reader, deleter
        Sessions that may read everything, and delete what has the tag.
    held
        ARNs of the stack's own. What is newer than these stays: another deploy may be about to use it.
    """
    filters: Any = {
        "ResourceTypeFilters": ["sagemaker:endpoint-config", "sagemaker:model"],
        "TagFilters": [{"Key": "deployment", "Values": [names.deployment(environment)]}],
    }
    tagged = reader.client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(**filters)
    ours = {each["ResourceARN"] for page in tagged for each in page["ResourceTagMappingList"]}
    sagemaker: Any = reader.client("sagemaker")
    deleting: Any = deleter.client("sagemaker")
    failures = []
    needed = set(_named_by_endpoints(sagemaker))
    for kind, method in _KINDS:
        listed = [*sagemaker.get_paginator(f"list_{method}s").paginate().search(f"{kind}s[]")]
        limit = max((each["CreationTime"] for each in listed if each[f"{kind}Arn"] in held), default=None)
        for each in listed:
            arn, name = each[f"{kind}Arn"], each[f"{kind}Name"]
            newer = limit is not None and each["CreationTime"] > limit
            if arn in ours and arn not in held and name not in needed and not newer:
                try:
                    getattr(deleting, f"delete_{method}")(**{f"{kind}Name": name})
                except ClientError as error:
                    failures.append(f"{name} cannot be deleted: {error}")
    if failures:
        raise DeliveryError("\n".join(failures))


def _named_by_endpoints(sagemaker: Any) -> Iterator[str]:
    """Yield the names of the configurations that endpoints serve or are about to, and of their models."""
    for endpoint in sagemaker.get_paginator("list_endpoints").paginate().search("Endpoints[].EndpointName"):
        described = sagemaker.describe_endpoint(EndpointName=endpoint)
        for state in filter(None, (described, described.get("PendingDeploymentSummary"))):
            yield (name := state["EndpointConfigName"])
            try:
                config = sagemaker.describe_endpoint_config(EndpointConfigName=name)
            except ClientError as error:
                if "Could not find" not in str(error):  # it was deleted under its endpoint
                    raise
                continue
            for member in ("ProductionVariants", "ShadowProductionVariants"):
                yield from (variant["ModelName"] for variant in config.get(member, []))
