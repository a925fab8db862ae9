"""No request that CloudFormation makes for the templates is one that AWS refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.emulator.validation.requests import SERVICES, of_resource
from infra.emulator.validation.shapes import InvalidRequest, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.infra.synthesis import Assembly

PSEUDO = {"AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
ATTRIBUTES = {
    "Arn": "arn:aws:iam::123456789012:role/model",
    "Id": "endpoint/e/variant/champion|sagemaker:variant:DesiredInstanceCount|sagemaker",
}


def resolved(value: Any) -> Any:
    """Replace intrinsic functions by values of their form."""
    match value:
        case {"Ref": name}:
            value = PSEUDO.get(name, "reference")
        case {"Fn::GetAtt": [_, attribute]}:
            value = ATTRIBUTES.get(attribute, "attribute")
        case {"Fn::Join": [separator, parts]}:
            value = separator.join(map(resolved, parts))
        case {"Fn::Sub": str(text)}:
            value = re.sub(r"\$\{(.*?)\}", lambda found: PSEUDO.get(found[1], "reference"), text)
        case dict():
            assert not [key for key in value if key.startswith("Fn::")]
            value = {key: resolved(item) for key, item in value.items()}
        case list():
            value = [resolved(item) for item in value]
        case str():
            value = re.sub(r"\{\{resolve:.*?\}\}", "reference", value)
    return value


def test_no_request_of_any_template_is_refused(
    assemblies: Mapping[str, Assembly], unreleased: Mapping[str, Assembly], full: Assembly
) -> None:
    services, refused = set(), []
    for assembly in (*assemblies.values(), *unreleased.values(), full):
        for template in assembly.templates():
            for logical_id, each in template.content["Resources"].items():
                kind = each["Type"]
                known = kind.split("::")[1] in SERVICES
                for service, operation, request in (
                    of_resource(kind, resolved(each["Properties"])) if known else ()
                ):
                    services.add(service)
                    try:
                        validate(service, operation, request)
                    except InvalidRequest as error:
                        refused.append(f"{template.path.name}: {logical_id}: {error}")
    assert services == set(SERVICES.values())
    assert refused == []
