"""No request that CloudFormation makes for the templates is one that AWS refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.emulator.validation.requests import SERVICES, of_resource
from infra.emulator.validation.shapes import InvalidRequest, validate
from tests.infra.synthesis import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.infra.synthesis import Assembly

KNOWN = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "Arn": "arn:aws:iam::123456789012:role/model",
    "Id": "endpoint/e/variant/champion|sagemaker:variant:DesiredInstanceCount|sagemaker",
}


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
                    of_resource(kind, resolve(each["Properties"], KNOWN, unknown="any")) if known else ()
                ):
                    services.add(service)
                    try:
                        validate(service, operation, request)
                    except InvalidRequest as error:
                        refused.append(f"{template.path.name}: {logical_id}: {error}")
    assert services == set(SERVICES.values())
    assert refused == []
