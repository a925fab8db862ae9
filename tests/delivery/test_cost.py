"""The estimate reads the templates: whatever is declared is priced or has a reason not to be."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra import config
from scripts.delivery import cost
from scripts.delivery.console import DeliveryError
from scripts.delivery.cost import Estimate, as_json, read_prices, reckon, table
from scripts.delivery.cost_rules import ANSWER_METRICS, FREE, PRICED, Traffic
from tests.infra.synthesis import RELEASES, synthesize

if TYPE_CHECKING:
    from infra.config import Settings

ROOT = Path(__file__).resolve().parents[2]
TRAFFIC = Traffic()
Json = dict[str, Any]


def templates_of(environment: str, folder: Path) -> list[Json]:
    assembly = synthesize(environment, folder, release=RELEASES / f"{environment}.json")
    return [template.content for template in assembly.templates()]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Json]]:
    return {name: templates_of(name, tmp_path_factory.mktemp(name)) for name in ("local", "dev", "prod")}


@pytest.fixture(params=["local", "dev", "prod"])
def environment(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def estimate(templates: list[Json], environment: str = "dev", **traffic: float) -> Estimate:
    settings: Settings = config.load(environment)
    return reckon(
        settings,
        templates,
        traffic=replace(TRAFFIC, **traffic),  # type: ignore[arg-type]
        table=read_prices(),
    )


def costs(found: Estimate) -> dict[str, float]:
    return {item.price: item.usd for item in found.items}


def one(kind: str, **properties: object) -> list[Json]:
    return [{"Resources": {"It": {"Type": kind, "Properties": properties}}}]


def test_every_type_that_is_declared_has_a_price_or_a_reason(
    environment: str, templates: dict[str, list[Json]]
) -> None:
    declared = {
        each["Type"] for template in templates[environment] for each in template["Resources"].values()
    }
    assert declared - PRICED.keys() - FREE.keys() == set()
    assert estimate(templates[environment], environment).usd > 0


def test_a_type_that_nobody_knows_stops_the_estimate_and_is_named() -> None:
    unknown = one("AWS::Neptune::DBCluster") + one("AWS::MSK::Cluster")
    with pytest.raises(DeliveryError, match=r"AWS::MSK::Cluster, AWS::Neptune::DBCluster.*cost_rules\.py"):
        estimate([{"Resources": {str(i): each["Resources"]["It"] for i, each in enumerate(unknown)}}])


def test_no_type_is_priced_and_free_at_once_and_each_reason_says_something() -> None:
    assert PRICED.keys() & FREE.keys() == set()
    assert all(len(reason.split()) > 1 for reason in FREE.values())


def test_an_instance_without_a_price_stops_the_estimate_and_is_named() -> None:
    variant = {"InstanceType": "ml.p5.48xlarge", "InitialInstanceCount": 2}
    with pytest.raises(DeliveryError, match=r"instance-ml\.p5\.48xlarge"):
        estimate(one("AWS::SageMaker::EndpointConfig", ProductionVariants=[variant]))


def test_instances_are_billed_by_the_hour_whatever_is_asked() -> None:
    variant = {"InstanceType": "ml.c7i.large", "InitialInstanceCount": 3}
    template = one("AWS::SageMaker::EndpointConfig", ProductionVariants=[variant])
    hour = read_prices().prices["instance-ml.c7i.large"].usd
    for requests in (0, 1_000_000):
        found = costs(estimate(template, requests_per_month=requests))
        assert found["instance-ml.c7i.large"] == pytest.approx(3 * 730 * hour)


def test_a_serverless_endpoint_is_billed_by_memory_and_time_alone() -> None:
    variant = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    template = one("AWS::SageMaker::EndpointConfig", ProductionVariants=[variant])
    second = read_prices().prices["serverless-gb-second"].usd
    found = costs(estimate(template, requests_per_month=1000, model_ms=500))
    assert found["serverless-gb-second"] == pytest.approx(2 * 500 * second)
    assert costs(estimate(template, requests_per_month=0))["serverless-gb-second"] == 0


def test_golden_answers_by_the_clock_are_billed_like_any_request() -> None:
    golden = {"Variables": {"GOLDEN": json.dumps([{"seed": 1}, {"seed": 2}])}}
    function = {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 1024}}
    clock = {
        "ScheduleExpression": "rate(1 hour)",
        "Targets": [{"Arn": {"Fn::GetAtt": ["Canary", "Arn"]}}],
    }
    resources = {
        "Gateway": function,
        "Canary": {"Type": "AWS::Lambda::Function", "Properties": {"Environment": golden}},
        "Clock": {"Type": "AWS::Events::Rule", "Properties": clock},
    }
    found = estimate([{"Resources": resources}], requests_per_month=0, page_views_per_month=0)
    calls = {item.what: item.quantity for item in found.items if item.price == "lambda-requests-million"}
    assert calls == {
        "scheduled Lambda, calls": pytest.approx(730 / 1e6),
        "gateway's Lambda, calls": pytest.approx(2 * 730 / 1e6),
    }


def test_an_alarm_is_billed_by_the_metrics_that_it_looks_at() -> None:
    two = [{"Id": "a", "MetricStat": {}}, {"Id": "b", "MetricStat": {}}, {"Id": "c", "Expression": "a-b"}]
    for properties, metrics in (({"MetricName": "Errors"}, 1), ({"Metrics": two}, 2)):
        (item,) = estimate(one("AWS::CloudWatch::Alarm", **properties)).items
        assert item.quantity == metrics


def test_more_traffic_costs_more_and_dev_less_than_prod(templates: dict[str, list[Json]]) -> None:
    dev, prod = (estimate(templates[name], name).usd for name in ("dev", "prod"))
    assert dev < prod
    busy = estimate(templates["dev"], requests_per_month=1_000_000).usd
    assert busy > dev


def test_every_price_has_a_unit_a_source_and_says_whether_it_was_looked_up() -> None:
    prices = read_prices()
    datetime.date.fromisoformat(prices.written)
    for name, price in prices.prices.items():
        assert price.usd > 0, name
        assert price.unit, name
        assert price.source.startswith("https://aws.amazon.com/"), name
        assert price.verified == (price.checked is not None), (
            f"{name}: verified needs the day, and the reverse"
        )


def test_what_was_not_looked_up_is_said(environment: str, templates: dict[str, list[Json]]) -> None:
    found = estimate(templates[environment], environment)
    said = "\n".join(table(found))
    assert found.unverified
    assert "NOT VERIFIED" in said
    assert all(name in said for name in found.unverified)
    assert "Left out:" in said
    elsewhere = config.load(environment).region != "us-east-1"  # where the prices are of
    assert ("Those of eu-west-1 differ" in said) == elsewhere


def test_json_traces_every_figure_to_its_price(environment: str, templates: dict[str, list[Json]]) -> None:
    found = json.loads(json.dumps(as_json(estimate(templates[environment], environment))))
    for item in found["items"]:
        assert item["usd"] == pytest.approx(item["quantity"] * found["prices"][item["price"]]["usd"])
    assert found["usd_per_month"] == pytest.approx(sum(item["usd"] for item in found["items"]), abs=0.01)


def test_the_lambdas_metrics_are_as_many_as_it_publishes() -> None:
    scope: Json = {}
    exec((ROOT / "infra" / "gateway" / "metrics.py").read_text(), scope)
    assert len(scope["OUTCOMES"]) == ANSWER_METRICS


# What the README's table calls the greater parts, by the prices that they are made of.
PARTS = {
    "dashboard": {"dashboard-month"},
    "metrics and alarms": {"custom-metric-month", "alarm-metric-month"},
    "instance": {"instance-ml.c7i.large"},
    "instances": {"instance-ml.c7i.large"},
    "firewall": {"waf-acl-month", "waf-rule-month"},
}


def test_the_readme_states_what_the_command_reckons(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what a first release would cost, as nobody has made one here
    monkeypatch.setattr(
        cost, "synthesize", lambda settings, record, to: synthesize(settings.environment, to, release=record)
    )
    found = cost.estimate(config.load(environment), record=tmp_path / f"{environment}.json", traffic=TRAFFIC)
    # When the environment's row is read
    row = re.search(rf"^\| `{environment}`.*\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row
    _, _, total, parts, _ = row[0].split("|")
    # Then its sum is the command's, and so is each part
    assert total.split()[-1] == f"{found.usd:.2f}"
    stated = re.findall(r"([a-z ]+) ([0-9.]+)", parts)
    assert stated
    for part, usd in stated:
        made_of = [item.usd for item in found.items if item.price in PARTS[part.strip()]]
        assert usd == f"{sum(made_of):.2f}", part


def test_without_a_release_one_is_made_up_and_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Path] = []

    def in_this_process(settings: Settings, *, record: Path, to: Path) -> None:
        seen.append(record)
        synthesize(settings.environment, to, release=record)

    monkeypatch.setattr(cost, "synthesize", in_this_process)
    absent = tmp_path / "dev.json"
    found = cost.estimate(config.load("dev"), record=absent, traffic=TRAFFIC)
    assert "serverless-gb-second" in costs(found)
    assert not seen[0].exists()
    assert not absent.exists()
    assert "does not exist yet" in capsys.readouterr().err
