"""What is watched: metrics that exist under the names that their senders give them, in the right units."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import runpy
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from container.log import JsonLines
from container.pool import Pool
from container.server import Application
from container.wire import Reply
from infra import release as releases
from infra.constructs import container_phases, gateway_metrics
from tests.infra.synthesis import (
    FIXTURE_ENVIRONMENTS,
    RELEASES,
    ROOT,
    as_list,
    synthesize_written,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uvicorn._types import HTTPScope

    from tests.infra.synthesis import Assembly, Json

FULL = (FIXTURE_ENVIRONMENTS / "full.toml").read_text()


def alarms(assembly: Assembly) -> dict[str, Json]:
    """Alarms of the sight stack by the last part of their names, without CloudFormation's hash."""
    found = assembly.template("sight").all("CloudWatch::Alarm")
    return {id_[len("Alarms") : -8]: alarm["Properties"] for id_, alarm in found.items()}


def dashboard(assembly: Assembly) -> Json:
    """The dashboard's body; what only a deploy knows is written in angle brackets."""
    body: Json = json.loads(
        text(assembly.template("sight").properties("CloudWatch::Dashboard")["DashboardBody"])
    )
    return body


def drawn(assembly: Assembly) -> Iterator[list[object]]:
    """Yield every metric of the dashboard as CloudWatch writes it: namespace, name, dimensions, options."""
    for widget in dashboard(assembly)["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                yield metric


def test_an_environment_that_does_not_ask_for_it_has_no_sight(local: Assembly) -> None:
    assert not local.template("sight").path.exists()


class TestNames:
    """Whoever sends a metric and whoever draws it must call it the same."""

    def test_answers_are_called_as_the_lambda_calls_them(self) -> None:
        sent = runpy.run_path(str(ROOT / "infra" / "gateway" / "metrics.py"))
        assert sent["NAMESPACE"] == gateway_metrics.NAMESPACE
        assert sent["DIMENSION"] == gateway_metrics.ENDPOINT_DIMENSION
        assert sent["OF_A_LABEL"] == gateway_metrics.PREDICTION_METRICS
        assert sent["REFUSED"] == gateway_metrics.REFUSAL_METRIC

    def test_the_function_and_the_api_are_found_by_their_names(self, dev: Assembly) -> None:
        gateway = dev.template("gateway")
        functions = {f["Properties"]["FunctionName"] for f in gateway.all("Lambda::Function").values()}
        metrics = list(drawn(dev))
        assert {m[3] for m in metrics if m[0] == "AWS/Lambda"} <= functions
        assert {m[3] for m in metrics if m[0] == "AWS/ApiGateway"} == {
            gateway.properties("ApiGateway::RestApi")["Name"]
        }
        assert {m[5] for m in metrics if m[0] == "AWS/ApiGateway"} == {
            gateway.properties("ApiGateway::Stage")["StageName"]
        }

    def test_the_endpoint_is_the_one_that_serves(self, dev: Assembly, prod: Assembly) -> None:
        for assembly in (dev, prod):
            endpoint = assembly.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
            found = {
                tuple(metric[2:6])
                for metric in drawn(assembly)
                if metric[0] in ("AWS/SageMaker", "/aws/sagemaker/Endpoints")
            }
            assert found == {("EndpointName", endpoint, "VariantName", "champion")}


# What a worker reports of an image, in microseconds.
JUDGED = {"queue": 30, "decode": 400, "inference": 5000}


def logged(method: str, path: str, *, status: int = 200, media_type: str = "image/png") -> Json:
    """Return the line that the container writes about a request, its workers stood in for."""
    pool = Mock(spec=Pool, ready=1, model={})
    pool.image = lambda: contextlib.nullcontext(bytearray())
    reply = Reply(status, b"{}", decode_us=JUDGED["decode"], inference_us=JUDGED["inference"])
    pool.judge = AsyncMock(return_value=(reply, JUDGED["queue"]))
    scope = {"method": method, "path": path, "headers": [(b"content-type", media_type.encode())]}
    receive = AsyncMock(return_value={"type": "http.request", "body": b"image", "more_body": False})
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("container.server")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        asyncio.run(Application(pool, workers=1)(cast("HTTPScope", scope), receive, AsyncMock()))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    (line,) = written.getvalue().splitlines()
    content: Json = json.loads(line)
    return content


def selected(selector: str, line: Json) -> Any:
    """Return what `$.name` is in a line, None where it is not."""
    return line.get(selector.removeprefix("$."))


def matches(pattern: str, line: Json) -> bool:
    """Evaluate the part of CloudWatch's filter syntax that is used here: `{ (..) && (..) }` of = and >=.

    docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    inner = re.fullmatch(r"\{ \((.+)\) \}", pattern)
    assert inner, pattern
    for clause in inner[1].split(") && ("):
        selector, operator, operand = clause.split(" ")
        found, wanted = selected(selector, line), json.loads(operand)
        if operator == "=":
            holds = found == wanted
        else:
            assert operator == ">="
            holds = isinstance(found, int | float) and found >= wanted
        if not holds:
            return False
    return True


class TestPhases:
    """The container's own times, out of its log."""

    @pytest.fixture
    def filters(self, dev: Assembly) -> list[Json]:
        found = dev.template("endpoint").all("Logs::MetricFilter").values()
        return [each["Properties"] for each in found]

    def test_each_phase_is_a_field_that_the_container_writes(self, filters: list[Json]) -> None:
        server = (ROOT / "container" / "server.py").read_text()
        assert {f["MetricTransformations"][0]["MetricName"] for f in filters} == set(container_phases.PHASES)
        for phase in container_phases.PHASES:
            assert f'"{phase}_us"' in server

    def test_filters_read_the_endpoints_log_in_microseconds(self, dev: Assembly, filters: list[Json]) -> None:
        (group_id,) = dev.template("endpoint").all("Logs::LogGroup")
        for each in filters:
            (transformation,) = each["MetricTransformations"]
            field = f"$.{transformation['MetricName']}_us"
            assert each["LogGroupName"] == {"Ref": group_id}
            assert each["FilterPattern"] == f'{{ ($.path = "/invocations") && ({field} >= 0) }}'
            assert transformation["MetricValue"] == field
            assert transformation["Unit"] == "Microseconds"

    @pytest.mark.parametrize("status", [200, 422])
    def test_filters_count_the_line_of_a_judged_image(self, filters: list[Json], status: int) -> None:
        line = logged("POST", "/invocations", status=status)
        for each in filters:
            (transformation,) = each["MetricTransformations"]
            assert matches(each["FilterPattern"], line)
            value = selected(transformation["MetricValue"], line)
            assert value == JUDGED.get(transformation["MetricName"], value)
            assert isinstance(value, int)

    @pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("GET", "/nowhere")])
    def test_filters_pass_over_all_other_lines(self, filters: list[Json], method: str, path: str) -> None:
        assert not [each for each in filters if matches(each["FilterPattern"], logged(method, path))]

    def test_filters_count_of_a_refused_upload_its_answer_alone(self, filters: list[Json]) -> None:
        line = logged("POST", "/invocations", media_type="text/plain")
        counted = [
            each["MetricTransformations"][0]["MetricName"]
            for each in filters
            if matches(each["FilterPattern"], line)
        ]
        assert counted == ["write"]

    def test_the_dashboard_draws_them(self, dev: Assembly, filters: list[Json]) -> None:
        sent = {
            (f["MetricTransformations"][0]["MetricNamespace"], f["MetricTransformations"][0]["MetricName"])
            for f in filters
        }
        assert sent <= {(metric[0], metric[1]) for metric in drawn(dev)}


class TestDashboard:
    """One page."""

    def test_it_says_which_model_serves(self, prod: Assembly) -> None:
        model = releases.load(RELEASES / "prod.json").model
        (said,) = [w["properties"]["markdown"] for w in dashboard(prod)["widgets"] if w["type"] == "text"]
        assert f"{model.name} version {model.version}" in said
        assert model.sha256[:12] in said

    @pytest.mark.parametrize("percentile", ["p50", "p90", "p99"])
    def test_latency_is_split_in_one_unit(self, prod: Assembly, percentile: str) -> None:
        (widget,) = [
            w["properties"]
            for w in dashboard(prod)["widgets"]
            if w["properties"].get("title", "").startswith(f"Latency {percentile}")
        ]
        metrics = {metric[1]: metric for metric in widget["metrics"] if isinstance(metric[0], str)}
        assert metrics.keys() == {"Latency", "Duration", "ModelLatency"}
        assert all(metric[-1]["stat"] == percentile for metric in metrics.values())
        (expression,) = [m[0]["expression"] for m in widget["metrics"] if isinstance(m[0], dict)]
        assert expression == "model / 1000", "ModelLatency is in microseconds, the others in milliseconds"
        assert metrics["ModelLatency"][-1]["visible"] is False

    def test_it_shows_every_alarm(self, prod: Assembly) -> None:
        (widget,) = [w for w in dashboard(prod)["widgets"] if w["type"] == "alarm"]
        shown = {re.sub(r"[<>]|\.Arn", "", arn) for arn in widget["properties"]["alarms"]}
        assert shown == set(prod.template("sight").all("CloudWatch::Alarm"))

    def test_it_counts_instances_where_there_are_any(self, prod: Assembly, dev: Assembly) -> None:
        titles = [{w["properties"].get("title") for w in dashboard(a)["widgets"]} for a in (prod, dev)]
        assert "Instances" in titles[0]
        assert "Instances" not in titles[1]


class TestAlarms:
    """When somebody is told."""

    def test_every_alarm_tells_the_topic(self, prod: Assembly, dev: Assembly) -> None:
        for assembly in (prod, dev):
            (topic_id,) = assembly.template("sight").all("SNS::Topic")
            assert {str(a["AlarmActions"]) for a in alarms(assembly).values()} == {str([{"Ref": topic_id}])}

    def test_mails_go_to_whom_the_settings_name(self, full: Assembly, prod: Assembly) -> None:
        subscription = full.template("sight").properties("SNS::Subscription")
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "on-call@example.org")
        assert prod.template("sight").all("SNS::Subscription") == {}

    def test_cloudwatch_and_budgets_of_this_account_may_publish(self, prod: Assembly) -> None:
        template = prod.template("sight")
        (document,) = [r["Properties"]["PolicyDocument"] for r in template.all("SNS::TopicPolicy").values()]
        allowed = {
            service: s["Condition"]
            for s in document["Statement"]
            if s["Effect"] == "Allow"
            for service in as_list(s["Principal"].get("Service"))
        }
        here = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        assert allowed == {"cloudwatch.amazonaws.com": here, "budgets.amazonaws.com": here}

    def test_latency_is_in_the_gateways_milliseconds(self, prod: Assembly) -> None:
        latency = alarms(prod)["GatewayLatency"]
        assert (latency["MetricName"], latency["ExtendedStatistic"]) == ("Latency", "p99")
        assert latency["Threshold"] == 3000

    def test_no_data_is_no_alarm_but_for_a_canary_that_did_not_run(self, prod: Assembly) -> None:
        treatments = {name: alarm["TreatMissingData"] for name, alarm in alarms(prod).items()}
        assert treatments.pop("GoldenAnswers") == "breaching"
        assert set(treatments.values()) == {"notBreaching"}

    def test_dev_has_neither_canary_nor_shift(self, dev: Assembly, prod: Assembly) -> None:
        extra = {"RefusalShift", "ClassShift", "GoldenAnswers"}
        assert extra <= alarms(prod).keys()
        assert alarms(dev).keys() == alarms(prod).keys() - extra


class TestShift:
    """The two alarms on what is sent and what is said, computed here as CloudWatch would."""

    @staticmethod
    def value(alarm: Json, **counts: float | None) -> float:
        """Evaluate an alarm's expression; a count of None is a metric without data."""
        (expression,) = [q["Expression"] for q in alarm["Metrics"] if "Expression" in q]
        python = re.sub(r"FILL\((\w+), 0\)", r"(\1 or 0)", expression).replace("ABS", "abs")
        condition, rest = re.fullmatch(r"IF\((.+? >= \d+), (.+), 0\)", python).groups()  # type: ignore[union-attr]
        if not eval(condition, {}, counts):
            return 0
        return float(eval(rest, {"abs": abs}, counts))

    @pytest.mark.parametrize(
        ("yes", "no", "refused", "rings"),
        [
            (40, 40, 20, False),  # 20 %: as many as are expected at most
            (40, 35, 25, True),
            (0, 0, 60, True),  # all refused
            (None, None, 60, True),
            (1, 1, 20, False),  # too few to tell
            (None, None, None, False),
        ],
    )
    def test_refusals(
        self, prod: Assembly, yes: float | None, no: float | None, refused: float | None, rings: bool
    ) -> None:
        alarm = alarms(prod)["RefusalShift"]
        assert (self.value(alarm, yes=yes, no=no, refused=refused) > alarm["Threshold"]) is rings

    @pytest.mark.parametrize(
        ("yes", "no", "rings"),
        [(50, 50, False), (84, 16, False), (86, 14, True), (14, 86, True), (None, 60, True), (10, 0, False)],
    )
    def test_classes(self, prod: Assembly, yes: float | None, no: float | None, rings: bool) -> None:
        alarm = alarms(prod)["ClassShift"]
        assert (self.value(alarm, yes=yes, no=no) > alarm["Threshold"]) is rings

    def test_they_look_at_hours(self, prod: Assembly) -> None:
        for name in ("RefusalShift", "ClassShift"):
            stats = [q["MetricStat"] for q in alarms(prod)[name]["Metrics"] if "MetricStat" in q]
            assert {(s["Period"], s["Stat"]) for s in stats} == {(6 * 3600, "Sum")}


class TestBudget:
    """What it may cost."""

    @pytest.mark.parametrize(("environment", "limit"), [("dev", 20), ("prod", 500)])
    def test_it_counts_what_carries_the_environments_tag(
        self, request: pytest.FixtureRequest, environment: str, limit: int
    ) -> None:
        assembly = request.getfixturevalue(environment)
        budget = assembly.template("sight").properties("Budgets::Budget")
        assert budget["Budget"]["BudgetLimit"] == {"Amount": limit, "Unit": "USD"}
        tag = f"user:deployment$tumor-detector-{environment}"
        assert budget["Budget"]["CostFilters"] == {"TagKeyValue": [tag]}
        for stack in ("registry", "endpoint", "gateway", "sight"):
            declared = assembly.json("manifest.json")["artifacts"][f"tumor-detector-{environment}-{stack}"]
            assert declared["properties"]["tags"]["deployment"] == f"tumor-detector-{environment}"

    def test_it_tells_the_topic(self, prod: Assembly) -> None:
        (topic_id,) = prod.template("sight").all("SNS::Topic")
        for each in prod.template("sight").properties("Budgets::Budget")["NotificationsWithSubscribers"]:
            assert each["Subscribers"] == [{"Address": {"Ref": topic_id}, "SubscriptionType": "SNS"}]


class TestGoldenCanary:
    """The scheduled canary as it is declared; `test_canary.py` runs it."""

    def test_it_asks_for_the_releases_answers_by_the_clock(self, prod: Assembly) -> None:
        template = prod.template("sight")
        released = releases.load(RELEASES / "prod.json")
        function = template.properties("Lambda::Function")
        variables = function["Environment"]["Variables"]
        assert variables["MODEL_SHA256"] == released.model.sha256
        assert json.loads(variables["GOLDEN"]) == [
            {"seed": 101, "lesion": True, "probability": 0.93},
            {"seed": 102, "lesion": False, "refused": True},
        ]
        assert template.properties("Events::Rule")["ScheduleExpression"] == "rate(15 minutes)"
        (query,) = alarms(prod)["GoldenAnswers"]["Metrics"]
        assert query["MetricStat"]["Period"] == 15 * 60

    def test_it_may_call_the_gateways_lambda_alone(self, prod: Assembly) -> None:
        template = prod.template("sight")
        name = template.properties("Lambda::Function")["Environment"]["Variables"]["FUNCTION_NAME"]
        allowed = [s["Resource"] for _, s in template.statements() if "lambda:InvokeFunction" in s["Action"]]
        assert [text(resource).split(":function:")[1] for resource in allowed] == [name]
        functions = prod.template("gateway").all("Lambda::Function").values()
        assert name in {function["Properties"]["FunctionName"] for function in functions}

    def test_a_failure_is_counted_once(self, prod: Assembly) -> None:
        assert prod.template("sight").properties("Lambda::EventInvokeConfig")["MaximumRetryAttempts"] == 0

    def test_a_phantom_that_is_not_drawn_is_refused_at_synth(self, tmp_path: Path) -> None:
        record = json.loads((RELEASES / "prod.json").read_text())
        golden = [{"seed": 7, "lesion": True, "probability": 0.5}]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.infra.synthesis.RELEASES", tmp_path)
            (tmp_path / "prod.json").write_text(json.dumps(record | {"golden": golden}))
            with pytest.raises(Exception, match=r"7-lesion\.png: missing"):
                synthesize_written(FULL, tmp_path)
