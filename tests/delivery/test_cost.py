"""Cost estimates from the templates: every declared type is priced, or free for a reason."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import NoCredentialsError

from infra import config
from scripts.commands import cost
from scripts.commands.cost import CostEstimate, as_json, estimate_templates, read_prices, table
from scripts.console import DeliveryError
from scripts.pricing import price_list
from scripts.pricing.rules import PRICED, Traffic
from tests.delivery.aws_answers import Answers, product
from tests.delivery.conftest import set_account
from tests.infra.synthesis import record_for, synthesize

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings

Json = dict[str, Any]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Json]]:
    found = {}
    for name in ("local", "dev", "prod"):
        folder = tmp_path_factory.mktemp(name)
        assembly = synthesize(name, folder / "out", release=record_for(name, folder))
        found[name] = [template.content for template in assembly.templates()]
    return found


def estimate(
    templates: list[Json], environment: str = "dev", *, from_aws: bool = False, **traffic: float
) -> CostEstimate:
    assumed = replace(Traffic(), **traffic)  # type: ignore[arg-type]
    settings = config.load(environment)
    return estimate_templates(settings, templates, traffic=assumed, from_aws=from_aws)


def costs(found: CostEstimate) -> dict[str, float]:
    return {item.price: item.usd for item in found.items}


def one(kind: str, **properties: object) -> list[Json]:
    return [{"Resources": {"It": {"Type": kind, "Properties": properties}}}]


def endpoint(**variant: object) -> list[Json]:
    return one("AWS::SageMaker::EndpointConfig", ProductionVariants=[variant])


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        (
            one("AWS::Neptune::DBCluster") + one("AWS::MSK::Cluster"),
            r"MSK::Cluster, .*Neptune.*pricing/rules\.py",
        ),
        (endpoint(InstanceType="ml.p5.48xlarge", InitialInstanceCount=2), r"instance-ml\.p5\.48xlarge"),
    ],
)
def test_what_has_no_price_ends_the_estimate_and_is_named(resources: list[Json], named: str) -> None:
    with pytest.raises(DeliveryError, match=named):
        estimate(resources)


def test_a_shadow_costs_its_instances_and_its_share_of_what_is_moved_and_captured() -> None:
    variant = {"InstanceType": "ml.c7i.large", "InitialInstanceCount": 3}
    config: Json = {"ProductionVariants": [variant], "DataCaptureConfig": {"InitialSamplingPercentage": 20}}
    shadow = {"ShadowProductionVariants": [variant | {"InitialVariantWeight": 0.25}]}
    bucket = one("AWS::S3::Bucket", BucketName="sample")
    alone, both = (
        costs(estimate(one("AWS::SageMaker::EndpointConfig", **each) + bucket))
        for each in (config, config | shadow)
    )
    assert both["instance-ml.c7i.large"] == 2 * alone["instance-ml.c7i.large"]
    for price in ("serverless-data-gb", "s3-puts-thousand", "s3-gb-month"):
        assert both[price] == pytest.approx(1.25 * alone[price])


@pytest.mark.parametrize("requests", [0, 1000])
def test_instances_are_billed_by_the_hour_and_a_serverless_endpoint_by_memory_and_time(requests: int) -> None:
    prices = read_prices().prices
    instances = estimate(
        endpoint(InstanceType="ml.c7i.large", InitialInstanceCount=3), requests_per_month=requests
    )
    hour = prices["instance-ml.c7i.large"].usd
    assert costs(instances)["instance-ml.c7i.large"] == pytest.approx(3 * 730 * hour)
    queued = endpoint(InstanceType="ml.c7i.large", InitialInstanceCount=1)
    queued[0]["Resources"]["It"]["Properties"]["AsyncInferenceConfig"] = {}
    found = estimate(queued, requests_per_month=requests, async_hours_per_month=20)
    assert costs(found)["instance-ml.c7i.large"] == pytest.approx(20 * hour)
    serverless = estimate(
        endpoint(ServerlessConfig={"MemorySizeInMB": 2048}), requests_per_month=requests, model_ms=500
    )
    second = prices["serverless-gb-second"].usd
    assert costs(serverless)["serverless-gb-second"] == pytest.approx(2 * requests / 2 * second)


def test_the_scheduled_canary_is_billed_like_other_requests() -> None:
    golden = {"Variables": {"GOLDEN": json.dumps([{"seed": 1}, {"seed": 2}])}}
    function = {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 1024}}
    clock = {"ScheduleExpression": "rate(1 hour)", "Targets": [{"Arn": {"Fn::GetAtt": ["Canary", "Arn"]}}]}
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


def test_an_alarm_is_billed_by_its_metrics() -> None:
    two = [{"Id": "a", "MetricStat": {}}, {"Id": "b", "MetricStat": {}}, {"Id": "c", "Expression": "a-b"}]
    for properties, metrics in (({"MetricName": "Errors"}, 1), ({"Metrics": two}, 2)):
        (item,) = estimate(one("AWS::CloudWatch::Alarm", **properties)).items
        assert item.quantity == metrics


def test_target_tracking_makes_two_alarms_and_an_update_a_second_fleet() -> None:
    fine = {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
    coarse = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    for metric, price in ((fine, "alarm-high-resolution-metric-month"), (coarse, "alarm-metric-month")):
        tracking = {"PredefinedMetricSpecification": metric}
        policy = one(
            "AWS::ApplicationAutoScaling::ScalingPolicy", TargetTrackingScalingPolicyConfiguration=tracking
        )
        assert costs(estimate(policy)) == {price: 2 * read_prices().prices[price].usd}
    fleet = endpoint(InstanceType="ml.c7i.large", InitialInstanceCount=3)
    step = {"Type": "INSTANCE_COUNT", "Value": 1}
    for routing, waits in (
        ({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}, 0),
        ({"Type": "CANARY", "CanarySize": step, "WaitIntervalInSeconds": 600}, 1),
        ({"Type": "LINEAR", "LinearStepSize": {"Value": 30}, "WaitIntervalInSeconds": 600}, 4),
    ):
        waiting = {"TerminationWaitInSeconds": 300, "TrafficRoutingConfiguration": routing}
        update = one("AWS::SageMaker::Endpoint", DeploymentConfig={"BlueGreenUpdatePolicy": waiting})
        found = estimate(fleet + update, updates_per_month=2, update_start_s=900)
        hours = {item.what: item.quantity for item in found.items if item.price.startswith("instance")}
        again = hours["3 x ml.c7i.large again, during updates"]
        assert again == pytest.approx(2 * 3 * (900 + waits * 600 + 300) / 3600)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """The Price List API, with a few products of a region; that of the instance has two prices."""
    listed = {
        "Host:ml.c7i.large": [product("AmazonSageMaker", "EU-Host:ml.c7i.large", 0.1176)],
        "CW:AlarmMonitorUsage": [product("AmazonCloudWatch", "EU-CW:AlarmMonitorUsage", 0, 0.11, 0.05)],
        "Request": [
            product("AWSLambda", "EU-Request", 0.0000002),
            product("AWSLambda", "EU-Request-ARM", 0.9),
            product("AWSLambda", "EU-Edge-Request", 0.8),
        ],
        "DashboardsUsageHour": [product("AmazonCloudWatch", "DashboardsUsageHour", 3.5, region="")],
        "TimedStorage-ByteHrs": [product("AmazonECR", f"EU{n}-TimedStorage-ByteHrs", n) for n in (1, 2)],
    }

    def answer(sent: Json) -> Json:
        usage, *places = (each["Value"] for each in sent["Filters"])
        assert places == ([] if "Dashboards" in usage else ["eu-west-1"])
        return {"PriceList": listed.get(usage, [])}

    set_account(monkeypatch)
    monkeypatch.setattr(price_list, "CACHE", tmp_path)
    answers = Answers({"GetProducts": answer})
    answers.install(monkeypatch)
    return answers


def test_prices_of_aws_replace_the_tables_where_it_lists_exactly_one(
    aws: Answers, templates: dict[str, list[Json]]
) -> None:
    found = estimate(templates["prod"], "prod", from_aws=True)
    listed = {name: price.usd for name, price in found.prices.items() if price.region == "eu-west-1"}
    assert listed == {
        "instance-ml.c7i.large": 0.1176,
        "alarm-metric-month": 0.11,  # the first tier that is not free
        "lambda-requests-million": pytest.approx(0.2),
        "dashboard-month": 3.5,
    }
    assert found.prices["ecr-gb-month"].usd == read_prices().prices["ecr-gb-month"].usd
    text = "\n".join(table(found))
    assert (
        f"4 of AWS's Price List API for eu-west-1, read on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        in text
    )
    assert "The others: prices.toml" in text
    assert "instance-ml.c7i.large" not in found.unverified
    assert as_json(found)["prices"]["dashboard-month"]["region"] == "eu-west-1"
    # An instance type that the table lacks is read as well.
    unknown = endpoint(InstanceType="ml.x9.large", InitialInstanceCount=1)
    with pytest.raises(DeliveryError, match=r"instance-ml\.x9\.large"):
        estimate(unknown, "prod", from_aws=True)


def test_prices_of_aws_are_kept_with_their_day_and_serve_when_aws_does_not(
    aws: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dashboard = one("AWS::CloudWatch::Dashboard")
    for _ in range(2):
        assert costs(estimate(dashboard, from_aws=True)) == {"dashboard-month": 3.5}
    assert len(aws.requests) == len(read_prices().offers)
    kept = json.loads((tmp_path / "eu-west-1.json").read_text())
    (tmp_path / "eu-west-1.json").write_text(json.dumps(kept | {"read": "2026-01-02"}))
    aws.by_operation["GetProducts"] = NoCredentialsError()
    found = estimate(dashboard, from_aws=True)
    assert found.table.prices["dashboard-month"].checked == "2026-01-02"
    assert "pricing:GetProducts" in capsys.readouterr().err
    (tmp_path / "eu-west-1.json").unlink()
    assert costs(estimate(dashboard, from_aws=True)) == {"dashboard-month": 3.0}


def test_every_price_has_a_unit_and_a_source_and_no_priced_type_is_free() -> None:
    prices = read_prices()
    assert PRICED.keys() & prices.free.keys() == set()
    datetime.date.fromisoformat(prices.written)
    derived = {name for name in prices.prices if name.startswith("instance-")}
    assert prices.offers.keys() == prices.prices.keys() - derived
    for name, price in prices.prices.items():
        assert price.usd > 0, name
        assert price.unit, name
        assert price.source.startswith("https://aws.amazon.com/"), name


@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_an_estimate_names_unverified_prices_and_traces_every_item(
    environment: str, templates: dict[str, list[Json]]
) -> None:
    found = estimate(templates[environment], environment)
    text = "\n".join(table(found))
    assert "NOT VERIFIED" in text
    assert found.unverified
    assert all(name in text for name in found.unverified)
    assert "Left out:" in text
    elsewhere = config.load(environment).region != "us-east-1"  # which the prices are for
    assert ("Those of eu-west-1 differ" in text) == elsewhere
    traced = json.loads(json.dumps(as_json(found)))
    for item in traced["items"]:
        assert item["usd"] == pytest.approx(item["quantity"] * traced["prices"][item["price"]]["usd"])
    assert traced["usd_per_month"] == pytest.approx(sum(item["usd"] for item in traced["items"]), abs=0.01)


def test_without_a_release_a_placeholder_is_used_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records: list[Path] = []

    def in_this_process(settings: Settings, *, record: Path, to: Path) -> None:
        records.append(record)
        synthesize(settings.environment, to, release=record)

    monkeypatch.setattr(cost, "synthesize", in_this_process)
    absent = tmp_path / "dev.json"
    found = cost.estimate(config.load("dev"), record=absent, traffic=Traffic())
    assert "serverless-gb-second" in costs(found)
    assert not records[0].exists()
    assert not absent.exists()
    assert "does not exist yet" in capsys.readouterr().err
