"""Drift detection: it reads with its caller's rights, as AWS does, and compares a few types more.

RegisterScalableTarget changes a scalable target's capacity, as a schedule does; of Application Auto Scaling
there is nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ministack.core import iam_actions, iam_evaluator
from ministack.services import apigateway_v1
from ministack.services.cloudformation import drift

from infra.emulator.ministack_patches.app import Answer, account_id, add_service, region
from infra.emulator.ministack_patches.iam import role_allows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Read = Callable[[str, Mapping[str, object]], Mapping[str, object] | None]

_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
# Type -> its ARN after the partition, and the actions that return what is compared of it.
_READ_BY = {
    "AWS::ApiGateway::ApiKey": ("apigateway:{region}::/apikeys/{id}", "apigateway:GET"),
    "AWS::ApiGateway::RestApi": ("apigateway:{region}::/restapis/{id}", "apigateway:GET"),
    _TARGET: ("application-autoscaling:{place}:any", "application-autoscaling:DescribeScalableTargets"),
    "AWS::ECR::Repository": ("ecr:{place}:repository/{id}", "ecr:DescribeRepositories"),
    "AWS::Events::Rule": ("events:{place}:rule/{id}", "events:DescribeRule"),
    "AWS::IAM::Role": ("iam::{account}:role/{id}", "iam:GetRole"),
    "AWS::Lambda::Function": ("lambda:{place}:function:{id}", "lambda:GetFunction"),
    "AWS::Logs::LogGroup": ("logs:{place}:log-group:{id}", "logs:DescribeLogGroups"),
    "AWS::S3::Bucket": ("s3:::{id}", "s3:ListBucket s3:GetBucketVersioning"),
    "AWS::SNS::Topic": ("sns:{place}:{id}", "sns:GetTopicAttributes sns:ListTagsForResource"),
    "AWS::SSM::Parameter": ("ssm:{place}:parameter{id}", "ssm:GetParameters ssm:ListTagsForResource"),
}
_capacities: dict[str, Mapping[str, object]] = {}  # registered beside CloudFormation


def patch() -> None:
    """Add readers and the caller's rights to ministack's drift detection."""
    readers = drift._DRIFT_READERS
    readers["AWS::ApiGateway::ApiKey"] = (_existing(apigateway_v1._api_keys), frozenset())
    readers["AWS::ApiGateway::RestApi"] = (_existing(apigateway_v1._rest_apis), frozenset())
    capacities = frozenset({"MinCapacity", "MaxCapacity", "ScheduledActions"})
    readers[_TARGET] = (lambda _id, own: {**own, **_capacities.get(own["ResourceId"], {})}, capacities)
    for kind, (pattern, actions) in _READ_BY.items():
        read, properties = readers[kind]
        readers[kind] = (_with_callers_rights(read, pattern, actions.split()), properties)
    add_service("application-autoscaling", _answer, target_prefix="AnyScaleFrontendService")


def _existing(store: Mapping[str, object]) -> Read:
    return lambda id_, _declared: {} if id_ in store else None


def _with_callers_rights(read: Read, pattern: str, actions: list[str]) -> Read:
    def read_as_caller(id_: str, declared: Mapping[str, object]) -> Mapping[str, object] | None:
        caller, account = iam_evaluator.caller_arn(), account_id()
        if ":assumed-role/" not in caller:
            return read(id_, declared)
        place = f"{region()}:{account}"
        arn = "arn:aws:" + pattern.format(
            id=id_.rpartition(":")[2], account=account, region=region(), place=place
        )
        role, session = caller.split("/")[-2:]
        for action in actions:
            if not role_allows(f"arn:aws:iam::{account}:role/{role}", action, arn, session=session):
                raise PermissionError(iam_actions.identity_denial_message(action, caller, arn, False))
        return read(id_, declared)

    return read_as_caller


async def _answer(
    _method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Mapping[str, object]
) -> Answer:
    operation, given = headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body or b"{}")
    media_type = {"Content-Type": "application/x-amz-json-1.1"}
    if operation != "RegisterScalableTarget":
        return 400, media_type, json.dumps({"__type": "UnknownOperationException"}).encode()
    _capacities[given["ResourceId"]] = {
        name: given[name] for name in ("MinCapacity", "MaxCapacity") if name in given
    }
    return 200, media_type, b"{}"
