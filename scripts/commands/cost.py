"""Estimate an environment's monthly cost from its templates; AWS is asked with `--prices aws` alone."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import config, release
from infra.paths import ROOT
from infra.release import Dataset, Golden, MlflowRun, Model, Release
from model.release.golden import PHANTOMS
from scripts.commands import common
from scripts.console import DeliveryError, echo
from scripts.delivery.cdk import synthesize
from scripts.pricing import price_list
from scripts.pricing.rules import EstimateInput, Line, Traffic, lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from infra.config import Settings

PRICES = ROOT / "scripts" / "pricing" / "prices.toml"
_API = "https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html"


@dataclass(frozen=True)
class Price:
    """A price of a region, the page that states it, and when it was last checked there, if ever."""

    usd: float
    unit: str
    source: str
    region: str
    checked: str | None = None


@dataclass(frozen=True)
class PriceTable:
    """The content of prices.toml: prices of one region, and the day on which they were written down."""

    written: str
    region: str
    hours_per_month: float
    left_out: Sequence[str]
    prices: Mapping[str, Price]
    offers: Mapping[str, Mapping[str, Any]]
    free: Mapping[str, str]

    def with_prices_of_aws(self, used: Collection[str], *, region: str) -> PriceTable:
        """Return the table with the prices that AWS's Price List API, or its cache, has for a region."""
        instances = {
            name: {"service": "AmazonSageMaker", "usage": name.replace("instance-", "Host:", 1)}
            for name in used
            if name.startswith("instance-")
        }
        day, usd = price_list.read({**self.offers, **instances}, region=region)
        units = {name: price.unit for name, price in self.prices.items()}
        listed = {
            name: Price(each, units.get(name, "hour"), _API, region, str(day)) for name, each in usd.items()
        }
        return replace(self, prices={**self.prices, **listed})


@dataclass(frozen=True)
class Item(Line):
    """One line of an estimate, with its price."""

    unit: str
    usd: float


@dataclass(frozen=True)
class CostEstimate:
    """What a month costs, and all that it was calculated from."""

    environment: str
    region: str
    traffic: Traffic
    table: PriceTable
    items: tuple[Item, ...]

    @property
    def usd(self) -> float:
        """The total."""
        return sum(item.usd for item in self.items)

    @property
    def prices(self) -> dict[str, Price]:
        """The prices in it by name."""
        return {item.price: self.table.prices[item.price] for item in self.items}

    @property
    def unverified(self) -> tuple[str, ...]:
        """The prices in it that were never checked at their source."""
        return tuple(name for name, price in self.prices.items() if price.checked is None)


def main(arguments: list[str] | None = None) -> None:
    """Print the estimate."""
    parser = common.release_parser("cost", __doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, with every price and its source")
    parser.add_argument(
        "--prices",
        choices=("table", "aws"),
        default="table",
        help="the dated table, or AWS's Price List API for the region, kept a week (default: %(default)s)",
    )
    for field in fields(Traffic):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help="assumed number (default: %(default)s)",
        )
    options = parser.parse_args(arguments)
    traffic = Traffic(**{field.name: getattr(options, field.name) for field in fields(Traffic)})
    with common.cli_errors():
        found = estimate(
            config.load(options.env),
            record=common.record_of(options),
            traffic=traffic,
            from_aws=options.prices == "aws",
        )
        print(json.dumps(as_json(found), indent=2, default=str) if options.json else "\n".join(table(found)))


def read_prices(path: Path = PRICES) -> PriceTable:
    """Read the price table."""
    content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    sources, region = content.pop("sources"), content["region"]
    for name, price in content["prices"].items():
        price["source"] = sources[price["source"]]
        content["prices"][name] = Price(**price, region=region)
    return PriceTable(**content)


def estimate(settings: Settings, *, record: Path, traffic: Traffic, from_aws: bool = False) -> CostEstimate:
    """Synthesize an environment and estimate its cost, without AWS unless `from_aws`.

    Without a release record a placeholder is used: no price depends on the model.
    """
    with _released(settings, record) as used, tempfile.TemporaryDirectory() as folder:
        synthesize(settings, record=used, to=Path(folder))
        templates = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.template.json"))]
    return estimate_templates(settings, templates, traffic=traffic, from_aws=from_aws)


def estimate_templates(
    settings: Settings,
    templates: list[dict[str, Any]],
    *,
    traffic: Traffic,
    from_aws: bool = False,
) -> CostEstimate:
    """Estimate the cost of what these templates declare, with AWS's own prices where it gives them."""
    table = read_prices()
    resources = {
        f"{number}.{id_}": resource
        for number, template in enumerate(templates)
        for id_, resource in template["Resources"].items()
    }
    declared = EstimateInput(traffic=traffic, hours=table.hours_per_month, resources=resources)
    quantities: dict[tuple[str, str], float] = defaultdict(float)
    for line in lines(declared, free=table.free):
        quantities[line.what, line.price] += line.quantity
    used = {price for _, price in quantities}
    if from_aws:
        table = table.with_prices_of_aws(used, region=settings.region)
    absent = sorted(used - table.prices.keys())
    if absent:
        raise DeliveryError(f"{PRICES} has no price for {', '.join(absent)}; add it there, with its source.")
    return CostEstimate(
        environment=settings.environment,
        region=settings.region,
        traffic=traffic,
        table=table,
        items=tuple(
            Item(what, price, quantity, table.prices[price].unit, quantity * table.prices[price].usd)
            for (what, price), quantity in quantities.items()
        ),
    )


@contextmanager
def _released(settings: Settings, record: Path) -> Iterator[Path]:
    """Yield the environment's own record, or a temporary one where there is none yet."""
    if record.exists():
        yield record
        return
    echo(f"  {record.name} does not exist yet: the stacks are those of a first release")
    zeros = "0" * 64
    placeholder = Release(
        environment=settings.environment,
        model=Model(name="to-be-released", version="1", sha256=zeros, bytes=1),
        dataset=Dataset(name="to-be-released", kind="images", fingerprint=zeros),
        mlflow=MlflowRun(experiment="to-be-released", run_id="to-be-released"),
        metrics={},
        threshold=0.5,
        gates=(),
        golden=tuple(Golden(seed=seed, lesion=lesion, probability=0.5) for seed, lesion in PHANTOMS),
    )
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / record.name
        release.replace(temporary, placeholder, card="# A release that does not exist yet\n")
        yield temporary


def as_json(found: CostEstimate) -> dict[str, Any]:
    """Return an estimate as JSON, each item with its price and the source of that."""
    return {
        "environment": found.environment,
        "region": found.region,
        "usd_per_month": round(found.usd, 2),
        "traffic": asdict(found.traffic),
        "items": [asdict(item) for item in found.items],
        "prices": {name: asdict(price) for name, price in found.prices.items()},
        "prices_written": found.table.written,
        "prices_region": found.table.region,
        "unverified_prices": list(found.unverified),
        "left_out": found.table.left_out,
    }


def table(found: CostEstimate) -> Iterator[str]:
    """Yield the lines of an estimate for people, the most expensive items first."""
    yield f"{found.environment} in {found.region}, a month of:"
    for field in fields(found.traffic):
        yield f"  {getattr(found.traffic, field.name):>10,} {field.name.replace('_', ' ')}"
    yield ""
    width = max(len(item.what) for item in found.items)
    for item in sorted(found.items, key=lambda item: -item.usd):
        yield f"  {item.usd:>9.2f} USD  {item.what:<{width}}  {item.quantity:,.4g} x {item.unit}"
    yield f"  {found.usd:>9.2f} USD  total"
    yield ""
    listed = [price for price in found.prices.values() if price.source == _API]
    if listed:
        day = listed[0].checked
        yield f"Prices: {len(listed)} of AWS's Price List API for {found.region}, read on {day}."
    if len(listed) < len(found.prices):
        these = f"{'The others' if listed else 'Prices'}: {PRICES.name}, written down on"
        yield f"{these} {found.table.written}, of {found.table.region}."
        if found.region != found.table.region:
            yield f"  Those of {found.region} differ."
    if found.unverified:
        yield f"  NOT VERIFIED against AWS's pages: {', '.join(found.unverified)}."
    yield "Left out:"
    yield from (f"  - {each}" for each in found.table.left_out)
