"""What an environment would cost by the month, reckoned from the templates that synth writes."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import release
from infra.release import Dataset, Golden, MlflowRun, Model, Release
from model.golden import PHANTOMS
from scripts.delivery.console import DeliveryError, say
from scripts.delivery.cost_rules import FREE, LEFT_OUT, Declared, Traffic, lines
from scripts.delivery.synthesis import synthesize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config import Settings

PRICES = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Price:
    """One price, where it stands, and whether somebody has looked it up there."""

    usd: float
    unit: str
    source: str
    verified: bool
    checked: str | None = None


@dataclass(frozen=True)
class PriceTable:
    """All prices, of one region, with the day on which they were written down."""

    written: str
    region: str
    hours_per_month: float
    prices: Mapping[str, Price]


@dataclass(frozen=True)
class Item:
    """One line of an estimate."""

    what: str
    price: str
    quantity: float
    unit: str
    usd: float


@dataclass(frozen=True)
class Estimate:
    """What a month costs, and how that was reckoned."""

    environment: str
    region: str
    traffic: Traffic
    table: PriceTable
    items: tuple[Item, ...]
    free: Mapping[str, str]

    @property
    def usd(self) -> float:
        """The sum."""
        return sum(item.usd for item in self.items)

    @property
    def unverified(self) -> tuple[str, ...]:
        """The prices in it that nobody has looked up."""
        used = dict.fromkeys(item.price for item in self.items)
        return tuple(name for name in used if not self.table.prices[name].verified)


def read_prices(path: Path = PRICES) -> PriceTable:
    """Read the price table."""
    content = tomllib.loads(path.read_text())
    return PriceTable(
        written=str(content["written"]),
        region=content["region"],
        hours_per_month=content["hours_per_month"],
        prices={
            name: Price(**{**price, "checked": str(price["checked"]) if "checked" in price else None})
            for name, price in content["prices"].items()
        },
    )


def estimate(settings: Settings, *, record: Path, traffic: Traffic) -> Estimate:
    """Synthesize an environment and reckon what it costs; nothing is asked of AWS.

    Parameters
    ----------
    record
        The release record. Where it is absent, a made-up one stands in: no price depends on the model.

    Raises
    ------
    DeliveryError
        If something is declared whose cost or price is not known.
    """
    with _released(settings, record) as used, tempfile.TemporaryDirectory() as folder:
        synthesize(settings, record=used, to=Path(folder))
        templates = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.template.json"))]
    return reckon(settings, templates, traffic=traffic, table=read_prices())


def reckon(
    settings: Settings, templates: list[dict[str, Any]], *, traffic: Traffic, table: PriceTable
) -> Estimate:
    """Reckon the cost of what these templates declare."""
    resources = {
        f"{number}.{id_}": resource
        for number, template in enumerate(templates)
        for id_, resource in template["Resources"].items()
    }
    declared = Declared(traffic=traffic, hours=table.hours_per_month, resources=resources)
    quantities: dict[tuple[str, str], float] = defaultdict(float)
    for line in lines(declared):
        quantities[line.what, line.price] += line.quantity
    absent = sorted({price for _, price in quantities} - table.prices.keys())
    if absent:
        raise DeliveryError(f"{PRICES} has no price for {', '.join(absent)}; add it there, with its source.")
    types = sorted({resource["Type"] for resource in resources.values()} & FREE.keys())
    return Estimate(
        environment=settings.environment,
        region=settings.region,
        traffic=traffic,
        table=table,
        items=tuple(
            Item(what, price, quantity, table.prices[price].unit, quantity * table.prices[price].usd)
            for (what, price), quantity in quantities.items()
        ),
        free={kind: FREE[kind] for kind in types},
    )


@contextmanager
def _released(settings: Settings, record: Path) -> Iterator[Path]:
    """Give a record to synthesize with: the environment's own, or one that is made up for this moment."""
    if record.exists():
        yield record
        return
    say(f"  {record.name} does not exist yet: the stacks are those that a first release will bring")
    with tempfile.TemporaryDirectory() as folder:
        made_up = Path(folder) / record.name
        release.replace(made_up, _made_up(settings.environment), card="# A release that does not exist yet\n")
        yield made_up


def _made_up(environment: str) -> Release:
    nothing = "0" * 64
    return Release(
        environment=environment,
        model=Model(name="to-be-released", version="1", sha256=nothing, bytes=1),
        dataset=Dataset(name="to-be-released", kind="images", fingerprint=nothing),
        mlflow=MlflowRun(experiment="to-be-released", run_id="to-be-released"),
        metrics={},
        threshold=0.5,
        gates=(),
        golden=tuple(Golden(seed=seed, lesion=lesion, probability=0.5) for seed, lesion in PHANTOMS),
    )


def as_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON, each line with its price and where that is from."""
    prices = {item.price: asdict(found.table.prices[item.price]) for item in found.items}
    return {
        "environment": found.environment,
        "region": found.region,
        "usd_per_month": round(found.usd, 2),
        "traffic": asdict(found.traffic),
        "items": [asdict(item) for item in found.items],
        "prices": prices,
        "prices_written": found.table.written,
        "prices_region": found.table.region,
        "unverified_prices": list(found.unverified),
        "costs_nothing_by_itself": dict(found.free),
        "left_out": list(LEFT_OUT),
    }


def table(found: Estimate) -> Iterator[str]:
    """Yield the lines of an estimate for people, the dearest first."""
    yield f"{found.environment} in {found.region}, a month of:"
    for field in fields(found.traffic):
        yield f"  {getattr(found.traffic, field.name):>10,} {field.name.replace('_', ' ')}"
    yield ""
    width = max(len(item.what) for item in found.items)
    for item in sorted(found.items, key=lambda item: -item.usd):
        yield f"  {item.usd:>9.2f} USD  {item.what:<{width}}  {item.quantity:,.4g} x {item.unit}"
    yield f"  {found.usd:>9.2f} USD  in all"
    yield ""
    yield from _notes(found)


def _notes(found: Estimate) -> Iterator[str]:
    yield f"Prices: {PRICES.name}, written down on {found.table.written}, of {found.table.region}."
    if found.region != found.table.region:
        yield f"  Those of {found.region} differ by some."
    if found.unverified:
        yield f"  NOT VERIFIED against AWS's pages: {', '.join(found.unverified)}."
    yield "Left out:"
    yield from (f"  - {each}" for each in LEFT_OUT)
