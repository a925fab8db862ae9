"""Answers of AWS to the calls of a test; requests and answers are checked against botocore's models."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

Json = dict[str, Any]


@dataclass
class Answers:
    """By operation an answer, an error, or a function of the request; and the requests that were made."""

    by_operation: dict[str, Json | Exception | Callable[[Json], Json]]
    requests: list[tuple[str, Json]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def call(client: BaseClient, operation: str, sent: Json) -> Json:
            self.requests.append((operation, sent))
            model = client.meta.service_model.operation_model(operation)
            answer = self.by_operation[operation]
            if isinstance(answer, Exception):
                raise answer
            answered = answer(sent) if callable(answer) else answer
            for given, shape in ((sent, model.input_shape), (answered, model.output_shape)):
                assert shape
                problems = ParamValidator().validate(given, shape)
                assert not problems.has_errors(), f"{operation}: {problems.generate_report()}"
            return answered

        monkeypatch.setattr(BaseClient, "_make_api_call", call)


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Any")


def product(service: str, usage: str, *prices: float, region: str = "eu-west-1") -> str:
    """Return one of GetProducts' strings, in the form that its documentation shows, with a price by tier."""
    sku = "2PKA2CRR4GFZ5BNR"
    dimensions = {
        f"{sku}.JRTCKXETXF.{tier}": {
            "unit": "Hrs",
            "beginRange": str(tier * 1000),
            "endRange": "Inf",
            "pricePerUnit": {"USD": f"{usd:.10f}"},
        }
        for tier, usd in enumerate(prices)
    }
    attributes = {"regionCode": region, "servicecode": service, "usagetype": usage}
    return json.dumps(
        {
            "product": {"productFamily": "ML Instance", "attributes": attributes, "sku": sku},
            "serviceCode": service,
            "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": {"priceDimensions": dimensions, "sku": sku}}},
            "publicationDate": "2026-11-20T20:14:33Z",
        }
    )
