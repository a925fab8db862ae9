"""Resource types that ministack's CloudFormation lacks, beside those of SageMaker.

GitHub's identity provider is created in IAM, since roles trust it. The others are stubs, known to
CloudFormation only: no request is inspected, and no money is counted.
"""

from __future__ import annotations

from http import HTTPStatus
from xml.etree import ElementTree

from ministack.services import iam

from infra.emulator.ministack_patches.cloudformation import (
    Created,
    Properties,
    ResourceError,
    add_type,
    physical_name,
)

STUBS = (
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Budgets::Budget",
    "AWS::WAFv2::LoggingConfiguration",
    "AWS::WAFv2::WebACLAssociation",
)


def add() -> None:
    """Add the types to CloudFormation."""
    _add_oidc_provider()
    for kind in STUBS:
        add_type(
            kind,
            create=lambda logical_id, _properties, stack: (physical_name(stack, logical_id), {}),
            update=lambda name, _new: (name, {}),
        )


def _add_oidc_provider() -> None:
    def create(_logical_id: str, properties: Properties, _stack: str) -> Created:
        members = {
            f"{member}.member.{number}": value
            for member, name in (("ClientIDList", "ClientIdList"), ("ThumbprintList", "ThumbprintList"))
            for number, value in enumerate(properties.get(name, ()), start=1)
        }
        status, _, body = iam._create_oidc_provider({"Url": properties["Url"], **members})
        answer = ElementTree.fromstring(body)  # noqa: S314 - of this very process
        if status != HTTPStatus.OK:
            raise ResourceError(answer.findtext(".//{*}Message"))
        arn = str(answer.findtext(".//{*}OpenIDConnectProviderArn"))
        return arn, {"Arn": arn}

    def update(arn: str, new: Properties) -> Created:
        delete(arn, new)
        return create("", new, "")

    def delete(arn: str, _properties: Properties) -> None:
        iam._delete_oidc_provider({"OpenIDConnectProviderArn": arn})

    add_type("AWS::IAM::OIDCProvider", create=create, update=update, delete=delete, replacing=("Url",))
