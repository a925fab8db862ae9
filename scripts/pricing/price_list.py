"""Prices of AWS's Price List API, of any region, kept in `.local/prices/` with the day of their reading.

UNVERIFIED on AWS: the usage types in prices.toml are those that bills show. A price that the API does not
give unambiguously is left to the table.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import boto3

from infra.paths import ROOT
from scripts.console import echo
from scripts.delivery.aws import AWS_ERRORS, CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.client import BaseClient

CACHE = ROOT / ".local" / "prices"
CACHE_DAYS = 7
_ENDPOINT = "us-east-1"  # one of the few regions that answer, for every region


def price_list_client(session: boto3.Session) -> BaseClient:
    """Return a client of the Price List API."""
    client: BaseClient = session.client("pricing", region_name=_ENDPOINT, config=CALLS)
    return client


def products(client: BaseClient, *, service: str, usage: str, region: str) -> list[dict[str, Any]]:
    """Return the products of a region whose usage type is `usage`, with or without a region before it.

    docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
    """
    location = "fromRegionCode" if service == "AWSDataTransfer" else "regionCode"
    filters = [{"Type": "CONTAINS", "Field": "usagetype", "Value": usage}]
    if "Dashboards" not in usage:  # which are of no region
        filters.append({"Type": "TERM_MATCH", "Field": location, "Value": region})
    pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
    listed = (json.loads(each) for page in pages for each in page["PriceList"])
    # After EU-, EUW2- or eu-west-1-
    exactly = re.compile(rf"([A-Z]+\d?-|[a-z]+-[a-z-]+\d-)?{re.escape(usage)}")
    return [each for each in listed if exactly.fullmatch(each["product"]["attributes"].get("usagetype", ""))]


def on_demand_usd(product: Mapping[str, Any]) -> float | None:
    """Return a product's price on demand, in USD by its unit: that of the first tier that is not free."""
    tiers = [
        (float(dimension["beginRange"]), float(dimension["pricePerUnit"].get("USD", 0)))
        for term in product["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
    ]
    return next((usd for _, usd in sorted(tiers) if usd), None)


def read(offers: Mapping[str, Mapping[str, Any]], *, region: str) -> tuple[date, dict[str, float]]:
    """Return the prices by name and the day of their reading: AWS's, or the cache's where AWS refuses.

    That it refuses is echoed; without a cache there are no prices.

    An offer has AWS's names, `service` and `usage`, and in `times` how many of its units make one of ours.
    """
    path, today = CACHE / f"{region}.json", datetime.now(UTC).date()
    day, asked, usd = date.min, set[str](), dict[str, float]()
    if path.is_file():
        kept = json.loads(path.read_text())
        day, asked, usd = date.fromisoformat(kept["read"]), set(kept["asked"]), kept["usd"]
    if (today - day).days < CACHE_DAYS and offers.keys() <= asked:
        return day, usd
    try:
        found = dict(_read(offers, region=region))
    except AWS_ERRORS as error:
        echo(
            f"  AWS's Price List API cannot be read ({error}); it needs credentials with pricing:GetProducts"
        )
        return day, usd
    CACHE.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"read": today.isoformat(), "asked": [*offers], "usd": found}, indent=2))
    return today, found


def _read(offers: Mapping[str, Mapping[str, Any]], *, region: str) -> Iterator[tuple[str, float]]:
    client = price_list_client(boto3.Session())
    for name, offer in offers.items():
        found = products(client, service=offer["service"], usage=offer["usage"], region=region)
        prices = {usd for product in found if (usd := on_demand_usd(product))}
        if len(prices) == 1:
            yield name, prices.pop() * offer.get("times", 1)
