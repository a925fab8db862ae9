"""Monitoring: metrics have the names and units of their senders, and alarms go off."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, as_list, record_for, synthesize, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.infra.synthesis import Assembly, Json


def alarms(assembly: Assembly) -> dict[str, Json]:
    """Return the monitoring stack's alarms by the last part of their logical ids, without the hash."""
    found = assembly.template("monitoring").all("CloudWatch::Alarm")
    return {id_[len("Alarms") : -8]: alarm["Properties"] for id_, alarm in found.items()}


def dashboard(assembly: Assembly) -> Json:
    """Return the dashboard's body, with references in angle brackets."""
    body: Json = json.loads(
        text(assembly.template("monitoring").properties("CloudWatch::Dashboard")["DashboardBody"])
    )
    return body


def drawn(assembly: Assembly) -> Iterator[list[object]]:
    """Yield every metric of the dashboard as CloudWatch writes it: namespace, name, dimensions, options."""
    for widget in dashboard(assembly)["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                yield metric


def test_an_environment_without_the_table_has_no_monitoring(local: Assembly) -> None:
    assert not local.template("monitoring").path.exists()


def test_metrics_are_drawn_under_their_senders_names(dev: Assembly, prod: Assembly) -> None:
    for assembly in (dev, prod):
        gateway = assembly.template("gateway")
        endpoint = assembly.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
        stage = gateway.properties("ApiGateway::Stage")["StageName"]
        variant = ("EndpointName", endpoint, "VariantName", "champion")
        senders = {
            "AWS/Lambda": ("FunctionName", gateway.properties("Lambda::Function")["FunctionName"]),
            "AWS/ApiGateway": (
                *("ApiName", gateway.properties("ApiGateway::RestApi")["Name"]),
                *("Stage", stage),
            ),
            "AWS/SageMaker": variant,
            "/aws/sagemaker/Endpoints": variant,
        }
        found = [metric for metric in drawn(assembly) if metric[0] in senders]
        assert {str(metric[0]) for metric in found} >= {"AWS/Lambda", "AWS/ApiGateway", "AWS/SageMaker"}
        for namespace, _, *dimensions in found:
            expected = senders[str(namespace)]
            assert tuple(dimensions[: len(expected)]) == expected


def test_the_dashboard_shows_every_alarm(prod: Assembly) -> None:
    (widget,) = [w for w in dashboard(prod)["widgets"] if w["type"] == "alarm"]
    shown = {re.sub(r"[<>]|\.Arn", "", arn) for arn in widget["properties"]["alarms"]}
    assert shown == set(prod.template("monitoring").all("CloudWatch::Alarm"))


class TestAlarms:
    """Alarms and their recipients."""

    def test_every_alarm_notifies_the_topic(self, prod: Assembly, dev: Assembly) -> None:
        for assembly in (prod, dev):
            (topic_id,) = assembly.template("monitoring").all("SNS::Topic")
            assert {str(a["AlarmActions"]) for a in alarms(assembly).values()} == {str([{"Ref": topic_id}])}

    def test_mails_go_to_the_addresses_of_the_settings(self, full: Assembly, prod: Assembly) -> None:
        subscription = full.template("monitoring").properties("SNS::Subscription")
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "on-call@example.org")
        assert prod.template("monitoring").all("SNS::Subscription") == {}

    def test_cloudwatch_and_budgets_of_this_account_may_publish(self, prod: Assembly) -> None:
        template = prod.template("monitoring")
        here = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        allowed = {
            service: statement["Condition"]
            for id_, statement in template.statements()
            if id_ in template.all("SNS::TopicPolicy") and statement["Effect"] == "Allow"
            for service in as_list(statement["Principal"].get("Service"))
        }
        assert allowed == {"cloudwatch.amazonaws.com": here, "budgets.amazonaws.com": here}

    def test_only_a_canary_that_stopped_notifies_without_data(self, prod: Assembly, dev: Assembly) -> None:
        treatments = {name: alarm["TreatMissingData"] for name, alarm in alarms(prod).items()}
        # A new alarm is in this state already: no notification on the first deploy, before the first run
        assert treatments.pop("GoldenAnswers") == "missing"
        notifying = {name for name, alarm in alarms(prod).items() if alarm.get("InsufficientDataActions")}
        assert notifying == {"GoldenAnswers"}
        assert set(treatments.values()) == {"notBreaching"}
        assert alarms(dev).keys() == treatments.keys() - {"RefusalDrift", "ClassDrift"}, (
            "without these tables"
        )


class TestDrift:
    """The two alarms on drift, computed here as CloudWatch would."""

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
        ("name", "yes", "no", "refused", "goes_off"),
        [
            ("RefusalDrift", 40, 40, 20, False),  # 20 %: the limit
            ("RefusalDrift", 40, 35, 25, True),
            ("RefusalDrift", None, None, 60, True),  # all refused
            ("RefusalDrift", 1, 1, 20, False),  # too few
            ("RefusalDrift", None, None, None, False),
            ("ClassDrift", 50, 50, 0, False),
            ("ClassDrift", 84, 16, 0, False),
            ("ClassDrift", 86, 14, 0, True),
            ("ClassDrift", 14, 86, 0, True),
            ("ClassDrift", None, 60, 0, True),
            ("ClassDrift", 10, 0, 0, False),  # too few
        ],
    )
    def test_an_alarm_goes_off_beyond_its_limit(
        self, prod: Assembly, name: str, *, yes: float, no: float, refused: float, goes_off: bool
    ) -> None:
        alarm = alarms(prod)[name]
        assert (self.value(alarm, yes=yes, no=no, refused=refused) > alarm["Threshold"]) is goes_off


def test_the_budget_counts_the_tag_of_every_stack(prod: Assembly) -> None:
    budget = prod.template("monitoring").properties("Budgets::Budget")["Budget"]
    assert budget["CostFilters"] == {"TagKeyValue": ["user:deployment$tumor-detector-prod"]}
    for stack in ("registry", "endpoint", "gateway", "monitoring"):
        declared = prod.json("manifest.json")["artifacts"][f"tumor-detector-prod-{stack}"]
        assert declared["properties"]["tags"]["deployment"] == "tumor-detector-prod"


class TestGoldenCanary:
    """The declaration of the scheduled canary, which `test_canary.py` runs."""

    def test_a_phantom_without_a_drawing_is_refused_at_synth(self, tmp_path: Path) -> None:
        record = record_for("full", tmp_path)
        golden = [{"seed": 7, "lesion": True, "probability": 0.5}]
        record.write_text(json.dumps(json.loads(record.read_text()) | {"golden": golden}))
        with pytest.raises(Exception, match=r"7-lesion\.png: missing"):
            synthesize("full", tmp_path / "out", release=record, environments=FIXTURE_ENVIRONMENTS)
