"""Resource types that ministack has a service for, and no CloudFormation: they are entered in that service.

What is declared can then be read back through the service's own API. Nothing acts on it: no request is
inspected, nothing is spent, and no token's signature is checked (STS reads what it says, and who is trusted).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree

from ministack.core.responses import get_account_id
from ministack.services import budgets, iam, waf
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Callable

_Properties = Mapping[str, object]
_Identity = tuple[str, dict[str, str]]
_Answer = tuple[int, Mapping[str, str], bytes]

_OK = 200
_MAX_BUDGET_NAME = 100


class DeclarationError(Exception):
    """A service refused what a template declares; the message becomes the stack event's reason."""


def register() -> None:
    """Enter the types in ministack's tables."""
    provisioners._RESOURCE_HANDLERS["AWS::WAFv2::WebACLAssociation"] = _association_handlers()
    provisioners._REPLACING_PROPERTIES["AWS::WAFv2::WebACLAssociation"] = ("ResourceArn", "WebACLArn")
    provisioners._RESOURCE_HANDLERS["AWS::Budgets::Budget"] = _budget_handlers()
    provisioners._RESOURCE_HANDLERS["AWS::IAM::OIDCProvider"] = _provider_handlers()
    provisioners._REPLACING_PROPERTIES["AWS::IAM::OIDCProvider"] = ("Url",)


def _association_handlers() -> Mapping[str, Callable[..., object]]:
    def create(_logical_id: str, properties: _Properties, _stack: str) -> _Identity:
        _check(waf._associate_web_acl(properties))
        # What CloudFormation calls it: the two ARNs, and what kind of resource the second is of.
        return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}

    def update(identity: str, _old: _Properties, _new: _Properties, _stack: str) -> _Identity:
        return identity, {}  # every change is a replacement

    def delete(_identity: str, properties: _Properties) -> None:
        # A replacement has associated the resource anew before this one goes.
        if waf._associations.get(properties["ResourceArn"]) == properties["WebACLArn"]:
            waf._disassociate_web_acl(properties)

    return {"create": create, "update": update, "delete": delete}


def _budget_handlers() -> Mapping[str, Callable[..., object]]:
    def create(logical_id: str, properties: _Properties, stack: str) -> _Identity:
        name = provisioners._physical_name(stack, logical_id, max_len=_MAX_BUDGET_NAME)
        return enter(str(_budget(properties).get("BudgetName") or name), properties)

    def update(name: str, _old: _Properties, new: _Properties, _stack: str) -> _Identity:
        budgets._delete_budget({"BudgetName": name})
        return enter(name, new)

    def delete(name: str, _properties: _Properties) -> None:
        budgets._delete_budget({"BudgetName": name})

    def enter(name: str, properties: _Properties) -> _Identity:
        budget = {**_budget(properties), "BudgetName": name}
        request = {**properties, "AccountId": get_account_id(), "Budget": budget}
        _check(budgets._create_budget(request))
        return name, {}

    return {"create": create, "update": update, "delete": delete}


def _budget(properties: _Properties) -> _Properties:
    """Return a template's budget as the API takes it: its amounts are text there."""
    budget = cast("_Properties", properties["Budget"])
    limit = budget.get("BudgetLimit")
    if isinstance(limit, Mapping):
        return {**budget, "BudgetLimit": {**limit, "Amount": str(limit["Amount"])}}
    return budget


def _provider_handlers() -> Mapping[str, Callable[..., object]]:
    def create(_logical_id: str, properties: _Properties, _stack: str) -> _Identity:
        members = {
            f"{member}.member.{number}": each
            for member, name in (("ClientIDList", "ClientIdList"), ("ThumbprintList", "ThumbprintList"))
            for number, each in enumerate(cast("Sequence[str]", properties.get(name, ())), start=1)
        }
        status, _, body = iam._create_oidc_provider({"Url": properties["Url"], **members})
        answer = ElementTree.fromstring(body)  # noqa: S314 - of this very process
        if status != _OK:
            raise DeclarationError(answer.findtext(".//{*}Message"))
        arn = str(answer.findtext(".//{*}OpenIDConnectProviderArn"))
        return arn, {"Arn": arn}

    def update(arn: str, _old: _Properties, new: _Properties, _stack: str) -> _Identity:
        delete(arn, new)
        return create("", new, "")

    def delete(arn: str, _properties: _Properties) -> None:
        iam._delete_oidc_provider({"OpenIDConnectProviderArn": arn})

    return {"create": create, "update": update, "delete": delete}


def _check(answer: _Answer) -> None:
    status, _, body = answer
    if status != _OK:
        raise DeclarationError(str(json.loads(body).get("message", body.decode())))
