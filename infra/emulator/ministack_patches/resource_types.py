"""Resource types that ministack's CloudFormation lacks, beside those of SageMaker.

Where ministack has the service, the resource is created in it and can be read back through its API, without
further effect: no request is inspected, and no money is counted. The others are stubs, known to
CloudFormation only.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from xml.etree import ElementTree

from ministack.services import iam, waf

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
)


def add() -> None:
    """Add the types to CloudFormation."""
    _add_web_acl_association()
    _add_oidc_provider()
    for kind in STUBS:
        add_type(
            kind,
            create=lambda logical_id, _properties, stack: (physical_name(stack, logical_id), {}),
            update=lambda name, _new: (name, {}),
        )


def _add_web_acl_association() -> None:
    def create(_logical_id: str, properties: Properties, _stack: str) -> Created:
        status, _, body = waf._associate_web_acl(properties)
        if status != HTTPStatus.OK:
            raise ResourceError(str(json.loads(body).get("message", body.decode())))
        return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}

    def delete(_physical_id: str, properties: Properties) -> None:
        # The replacement is associated before what it replaces is deleted.
        if waf._associations.get(properties["ResourceArn"]) == properties["WebACLArn"]:
            waf._disassociate_web_acl(properties)

    add_type(
        "AWS::WAFv2::WebACLAssociation",
        create=create,
        update=lambda physical_id, _new: (physical_id, {}),  # every change is a replacement
        delete=delete,
        replacing=("ResourceArn", "WebACLArn"),
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
