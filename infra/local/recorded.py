"""Resource types that stacks declare and this emulator only records.

CloudFormation takes them, answers `Ref` and `Fn::GetAtt`, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners

_Properties = Mapping[str, object]
_Identity = tuple[str, dict[str, str]]

# Type -> the attributes that `Fn::GetAtt` may ask for.
RECORDED: Mapping[str, Sequence[str]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": ("Id",),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("Arn",),
    "AWS::CE::AnomalyMonitor": ("MonitorArn",),
    "AWS::CE::AnomalySubscription": ("SubscriptionArn",),
    "AWS::CloudWatch::AnomalyDetector": ("Id",),
    "AWS::CloudWatch::CompositeAlarm": ("Arn",),
    "AWS::Logs::QueryDefinition": ("QueryDefinitionId",),
    "AWS::SageMaker::DataQualityJobDefinition": ("JobDefinitionArn",),
    "AWS::SageMaker::MonitoringSchedule": ("MonitoringScheduleArn",),
    "AWS::WAFv2::IPSet": ("Arn", "Id"),
    "AWS::WAFv2::LoggingConfiguration": (),
}

# What has no effect unless it is asked for; then see `infra.local.policies`.
POLICIES = "IAM policies, signatures and bucket policies (--enforce-policies)"

# Parts of emulated types that have no effect here.
WITHOUT_EFFECT = (
    "alarms on metric math but sums of SageMaker's, log shipping and metric filters of endpoints, X-Ray",
    "WAF rules, what budgets count, response compression, signatures of web identity tokens",
    "the second factor and the mails of Cognito",
    "SageMaker's instance counts, concurrency limits, data capture and VPCs",
    "a restart of a model server that died",
)


def register() -> None:
    """Enter the types in ministack's table."""
    for kind, attributes in RECORDED.items():
        if kind not in provisioners._RESOURCE_HANDLERS:
            provisioners._RESOURCE_HANDLERS[kind] = _handlers(kind, attributes)


def _handlers(kind: str, attributes: Sequence[str]) -> Mapping[str, Callable[..., object]]:
    service, resource = kind.removeprefix("AWS::").lower().split("::")

    def identity(name: str) -> _Identity:
        arn = f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}/{name}"
        return name, {each: arn if each.endswith("Arn") else name for each in attributes}

    def create(logical_id: str, _properties: _Properties, stack: str) -> _Identity:
        return identity(provisioners._physical_name(stack, logical_id))

    def update(name: str, _old: _Properties, _new: _Properties, _stack: str) -> _Identity:
        return identity(name)

    def delete(_name: str, _properties: _Properties) -> None:
        """Do nothing: ministack's engine keeps the only record."""

    return {"create": create, "update": update, "delete": delete}
