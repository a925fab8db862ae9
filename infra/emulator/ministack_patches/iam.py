"""IAM policies, enforced on request: a caller may do what its role allows and no more.

ministack can evaluate policies itself. This module has it do so, and adds the checks that it lacks; `s3`
adds those of KMS keys, `lambdas` those of logs. The account's own keys, which `infra.local_aws`
gives, belong to the root user, who may do everything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.services import apigateway_v1, iam, tagging

from infra.emulator.ministack_patches.app import account_id, region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Context = Mapping[str, str] | None  # a service's condition keys


class AccessDenied(Exception):  # noqa: N818 - AWS's own name for it
    """A service may not assume a role or, as the role, do what it needs; the message says what and why."""


def enforce() -> None:
    """Have ministack check signatures and policies."""
    pin, resource_of = app.pin_request_origin, iam_actions.extract_resource_arn
    context_of = iam_actions.request_tag_context

    def pin_as_tls(source: str, _secure: bool) -> None:
        """Count each request as sent over TLS: none leaves this machine, and buckets refuse plain HTTP."""
        pin(source, True)

    def with_repository(
        service: str, method: str, path: str, headers: Mapping[str, str], body: bytes, *rest: object
    ) -> object:
        """Name the one repository that is described; ministack names "*", which no policy on one matches."""
        if service == "ecr" and headers.get("x-amz-target", "").endswith(".DescribeRepositories"):
            repositories = json.loads(body or b"{}").get("repositoryNames") or []
            if len(repositories) == 1:
                return f"arn:aws:ecr:{region()}:{account_id()}:repository/{repositories[0]}"
        return resource_of(service, method, path, headers, body, *rest)

    def with_namespace(service: str, action: str, body: bytes, params: object) -> Mapping[str, object]:
        """Name the metrics' namespace, which ministack lacks, where it is sent as JSON, as botocore does."""
        context: Mapping[str, object] = context_of(service, action, body, params)
        if action == "cloudwatch:PutMetricData" and body.startswith(b"{"):
            return {**context, "cloudwatch:namespace": json.loads(body).get("Namespace", "")}
        return context

    app.AUTH = True
    app.pin_request_origin = pin_as_tls
    iam_actions.extract_resource_arn = with_repository
    iam_actions.request_tag_context = with_namespace
    tagging._RESOURCE_TAG_COLLECTORS["apigateway"] = _tags_of_api_keys


def enforced() -> bool:
    """Whether policies are enforced."""
    return bool(app.AUTH)


def denial(action: str, resource: str, headers: Mapping[str, str]) -> str | None:
    """Return AWS's message where a request's caller may not do this with a resource.

    ministack has checked the request's signature before. Header names are in lower case.
    """
    if not enforced():
        return None
    caller = router.extract_access_key_id(headers)
    denied = iam_evaluator.enforce(caller, action, "sagemaker", region(), resource_arn=resource)
    if denied is None:
        return None
    if isinstance(denied, iam_evaluator.AuthError):
        return str(denied.message)
    explicit = denied.decision == "Deny"
    return str(iam_actions.identity_denial_message(action, denied.principal_arn, resource, explicit))


def assume_role(arn: str, *, service: str) -> boto3.Session:
    """Return a session of a role that an AWS service assumes; raise AccessDenied if it may not."""
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    role = iam._roles.get_scoped(account, None, name)
    if role is None or not _trusts(role["AssumeRolePolicyDocument"], service):
        raise AccessDenied(
            f"{service} may not assume the role {arn}: it does not exist or does not trust it."
        )
    # By the root user, for the service: as a principal a service has no keys.
    sts, session = boto3.Session().client("sts"), service.partition(".")[0]
    keys = sts.assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
    return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def role_allows(
    arn: str, action: str, resource: str, *, session: str = "SageMaker", context: Context = None
) -> bool:
    """Whether a role may do something with a resource; always where policies are not enforced."""
    if not enforced():
        return True
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=resource.split(":")[3],
        service_context={key.lower(): value for key, value in (context or {}).items()},
    )
    policies = iam_evaluator._gather_role_policies(name, account)
    return bool(iam_evaluator.evaluate(request, policies).decision == "Allow")


def require(role: str, action: str, resource: str, *, context: Context = None) -> None:
    """Raise `AccessDenied` where SageMaker may not do this as a role."""
    if not role_allows(role, action, resource, context=context):
        raise AccessDenied(f"The role {role} is not authorized to perform: {action} on {resource}")


def _trusts(document: str, service: str) -> bool:
    return any(
        statement["Effect"] == "Allow"
        and iam_evaluator._service_principal_matches(statement.get("Principal"), service)
        for statement in json.loads(document)["Statement"]
    )


def _tags_of_api_keys() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield ARN and tags of each API key, for conditions on ``aws:ResourceTag``."""
    for key_id, key in apigateway_v1._api_keys.items():
        tags = [{"Key": name, "Value": value} for name, value in key["tags"].items()]
        yield f"arn:aws:apigateway:{region()}::/apikeys/{key_id}", tags
