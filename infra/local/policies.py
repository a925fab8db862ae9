"""IAM policies, enforced where that is asked for: whoever calls may do what its role allows and no more.

ministack evaluates policies itself once it is told to. This tells it, and adds what it does not ask about:
who calls SageMaker, a Lambda's own log, the roles that SageMaker takes, API keys' tags; and, in `keys`, S3
objects' KMS keys.
The account's own keys, which `infra.local.client_environment` gives, are its root's: they may do all.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING

import boto3
from ministack import app as ministack
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1, iam, lambda_svc, sts, tagging

from infra.local import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    _ResourceOf = Callable[..., str]
    _Write = Callable[..., None]

_SESSION_S = 3600
_TO_LOG = ("logs:CreateLogStream", "logs:PutLogEvents")


class RoleError(Exception):
    """A service may not take a role; the message says why."""


def enforce() -> None:
    """Have ministack check signatures and policies, and ask where it did not."""
    ministack.AUTH = True
    ministack.pin_request_origin = _as_if_by_tls(ministack.pin_request_origin)
    keys.enforce()
    iam_actions.extract_resource_arn = _with_repository(iam_actions.extract_resource_arn)
    tagging._RESOURCE_TAG_COLLECTORS["apigateway"] = _tags_of_api_keys
    lambda_svc._emit_lambda_logs = _where_allowed(lambda_svc._emit_lambda_logs)


def enforced() -> bool:
    """Whether policies are enforced."""
    return bool(ministack.AUTH)


def denial(action: str, resource: str, headers: Mapping[str, str]) -> str | None:
    """Say, in AWS's words, why a request's caller may not do this with a resource; None if it may.

    ministack has checked the request's signature before.

    Parameters
    ----------
    headers
        Of the request, by their names in lower case.
    """
    if not enforced():
        return None
    caller = router.extract_access_key_id(headers)
    denied = iam_evaluator.enforce(caller, action, "sagemaker", get_region(), resource_arn=resource)
    if denied is None:
        return None
    if isinstance(denied, iam_evaluator.AuthError):
        return str(denied.message)
    explicit = denied.decision == "Deny"
    return str(iam_actions.identity_denial_message(action, denied.principal_arn, resource, explicit))


def take_role(arn: str, *, service: str) -> boto3.Session:
    """Take a role as an AWS service does, and return the session in which it acts.

    Raises
    ------
    RoleError
        If there is no such role, or it does not trust the service.
    """
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    role = iam._roles.get_scoped(account, None, name)
    if role is None or not _trusts(role["AssumeRolePolicyDocument"], service):
        raise RoleError(f"{service} may not take the role {arn}: it does not exist or does not trust it.")
    session = service.partition(".")[0]
    key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32)
    sts.register_session(
        key,
        {
            "Arn": _session_arn(account, name, session),
            "UserId": f"{role['RoleId']}:{session}",
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": time.time() + _SESSION_S,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
        },
    )
    return boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


def _trusts(document: str, service: str) -> bool:
    return any(
        statement["Effect"] == "Allow"
        and iam_evaluator._service_principal_matches(statement.get("Principal"), service)
        for statement in json.loads(document)["Statement"]
    )


def _session_arn(account: str, role: str, session: str) -> str:
    return f"arn:aws:sts::{account}:assumed-role/{role}/{session}"


def _as_if_by_tls(pin: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
    """Take each request for one by TLS: it has not left this machine, and the buckets refuse all others."""

    def pinned(source: str, _secure: bool) -> None:
        pin(source, True)

    return pinned


def _with_repository(resource_of: _ResourceOf) -> _ResourceOf:
    """Name the repository that is described; ministack names all, which no policy on one matches."""

    def with_repository(
        service: str, method: str, path: str, headers: Mapping[str, str], body: bytes, *rest: object
    ) -> str:
        if service == "ecr" and headers.get("x-amz-target", "").endswith(".DescribeRepositories"):
            repositories = json.loads(body or b"{}").get("repositoryNames") or []
            if len(repositories) == 1:
                return f"arn:aws:ecr:{get_region()}:{get_account_id()}:repository/{repositories[0]}"
        return resource_of(service, method, path, headers, body, *rest)

    return with_repository


def _tags_of_api_keys() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield the ARN and the tags of each API key, for conditions on ``aws:ResourceTag``."""
    for key_id, key in apigateway_v1._api_keys.items():
        tags = [{"Key": name, "Value": value} for name, value in key["tags"].items()]
        yield f"arn:aws:apigateway:{get_region()}::/apikeys/{key_id}", tags


def _where_allowed(write: _Write) -> _Write:
    """Write a Lambda's log where its role may; else nothing is written and the Lambda goes on, as on AWS."""

    def write_where_allowed(function: Mapping[str, object], *rest: object, **more: object) -> None:
        config = function.get("config") or function
        if all(_may_write(config, action) for action in _TO_LOG):  # type: ignore[arg-type]
            write(function, *rest, **more)

    return write_where_allowed


def _may_write(config: Mapping[str, str], action: str) -> bool:
    _, _, _, region, account, *_ = config["FunctionArn"].split(":")
    role, name = config["Role"].rpartition("/")[2], config["FunctionName"]
    logging: Mapping[str, str] = config.get("LoggingConfig") or {}  # type: ignore[assignment]
    group = logging.get("LogGroup") or f"/aws/lambda/{name}"
    asked = iam_evaluator.EvalContext(
        principal_arn=_session_arn(account, role, name),
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:any",
        region=region,
    )
    decision = iam_evaluator.evaluate(asked, iam_evaluator._gather_role_policies(role, account)).decision
    return bool(decision == "Allow")
