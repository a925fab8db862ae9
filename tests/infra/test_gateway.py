"""The gateway: its paths, stage, logs, error responses and Lambda."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aws_cdk import aws_apigateway as apigateway

from infra import config
from infra import release as releases
from infra.lambdas.gateway import settings
from infra.paths import LAMBDAS
from infra.release import MAX_REASON, Gate
from model.release import gates
from tests.infra.synthesis import RELEASE, synthesize_gateway
from tests.model.passing_metrics import GOOD

if TYPE_CHECKING:
    from pathlib import Path

    from infra.release import Release
    from tests.infra.synthesis import Assembly, Json


ENVIRONMENT_LIMIT = 4096  # bytes of all of a Lambda's variables


def variables(release: Release, folder: Path) -> dict[str, str]:
    """Synthesize dev's gateway with a release, and return its Lambda's variables."""
    template = synthesize_gateway(config.load("dev"), folder, release=release)
    return dict(template.properties("Lambda::Function")["Environment"]["Variables"])


def test_a_key_is_bound_to_a_plan_of_this_stage(dev: Assembly) -> None:
    template = dev.template("gateway")
    (stage_id,), (key_id,) = template.all("ApiGateway::Stage"), template.all("ApiGateway::ApiKey")
    plan = template.properties("ApiGateway::UsagePlan")
    assert [stage["Stage"] for stage in plan["ApiStages"]] == [{"Ref": stage_id}]
    assert plan["Throttle"] == {"RateLimit": 10, "BurstLimit": 20}
    assert template.properties("ApiGateway::UsagePlanKey")["KeyId"] == {"Ref": key_id}
    assert "Value" not in template.properties("ApiGateway::ApiKey"), "a secret, which AWS generates"


class TestStage:
    """Settings of the stage, for every method."""

    @pytest.fixture
    def stage(self, assembly: Assembly) -> Json:
        return assembly.template("gateway").properties("ApiGateway::Stage")

    def test_every_method_is_throttled(self, assembly: Assembly, stage: Json) -> None:
        throttle = config.load(assembly.environment).throttle
        (settings,) = stage["MethodSettings"]
        assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
        assert settings["ThrottlingRateLimit"] == throttle.requests_per_second
        assert settings["ThrottlingBurstLimit"] == throttle.burst

    def test_no_log_holds_a_body(self, stage: Json) -> None:
        assert [settings["DataTraceEnabled"] for settings in stage["MethodSettings"]] == [False]
        logged = json.loads(stage["AccessLogSetting"]["Format"])
        assert logged["status"] == "$context.status"
        # Nothing of the request itself: its headers, query and body may hold secrets or an image
        assert [value for value in logged.values() if not value.startswith("$context.")] == []
        assert not {word for value in logged.values() for word in ("body", "header") if word in value}

    def test_requests_are_traced_and_logging_waits_for_the_accounts_role(
        self, assembly: Assembly, stage: Json
    ) -> None:
        assert stage["TracingEnabled"] is True
        template = assembly.template("gateway")
        (account_id,) = template.all("ApiGateway::Account")
        assert account_id in template.only("ApiGateway::Stage")["DependsOn"]


def test_the_api_takes_no_older_tls_than_1_2(assembly: Assembly) -> None:
    api = assembly.template("gateway").properties("ApiGateway::RestApi")
    assert (api["SecurityPolicy"], api["EndpointAccessMode"]) == (
        "SecurityPolicy_TLS13_1_2_PQ_2025_09",
        "STRICT",
    )


def test_every_log_group_is_ours_and_expires(assembly: Assembly) -> None:
    groups = [group for template in assembly.templates() for group in template.all("Logs::LogGroup").values()]
    retention = config.load(assembly.environment).log_retention_days
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {retention}
    names = json.dumps([group["Properties"].get("LogGroupName") for group in groups])
    assert "/aws/sagemaker/Endpoints/" in names
    assert "API-Gateway-Execution-Logs_" in names


class TestErrors:
    """API Gateway's own responses."""

    @pytest.fixture
    def responses(self, assembly: Assembly) -> dict[str, Json]:
        found = assembly.template("gateway").all("ApiGateway::GatewayResponse").values()
        return {item["Properties"]["ResponseType"]: item["Properties"] for item in found}

    def test_no_type_is_left_in_api_gateways_own_form(self, responses: dict[str, Json]) -> None:
        known = [
            getattr(apigateway.ResponseType, name) for name in dir(apigateway.ResponseType) if name.isupper()
        ]
        assert responses.keys() == {type_.response_type for type_ in known}

    def test_each_is_a_problem_with_the_status_it_is_sent_with(self, responses: dict[str, Json]) -> None:
        for response in responses.values():
            problem = json.loads(response["ResponseTemplates"]["application/json"])
            assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
            assert str(problem["status"]) == response["StatusCode"]
            assert problem["request_id"] == "$context.requestId"
            content_type = response["ResponseParameters"]["gatewayresponse.header.Content-Type"]
            assert content_type == "'application/problem+json'"
            request_id = response["ResponseParameters"]["gatewayresponse.header.X-Request-Id"]
            assert request_id == "context.requestId"
            error_type = response["ResponseParameters"]["gatewayresponse.header.X-Error-Type"]
            assert error_type == f"'{response['ResponseType']}'"


class TestFunction:
    """The Lambda."""

    def test_it_knows_the_endpoint_and_the_release(self, assembly: Assembly) -> None:
        function = assembly.template("gateway").properties("Lambda::Function")
        assert function["Timeout"] < 29, "API Gateway gives up"
        # Read by the code that is deployed with it
        known, released = settings.read(function["Environment"]["Variables"]), releases.load(RELEASE)
        endpoint = assembly.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
        assert (known.endpoint_name, known.auth) == (endpoint, config.load(assembly.environment).auth)
        assert known.model == settings.Model(
            name=released.model.name,
            version=released.model.version,
            sha256=released.model.sha256,
            kind=released.dataset.kind,
            gates_failed=list(released.gates_failed),
        )

    def test_it_knows_why_a_failed_gate_was_overridden(self, tmp_path: Path) -> None:
        # Given a release that was promoted by force
        release = replace(releases.load(RELEASE), forced="the committee's vote")
        # When its gateway is synthesized, Then the Lambda knows the reason
        assert json.loads(variables(release, tmp_path)["MODEL"])["forced"] == "the committee's vote"

    @pytest.mark.parametrize("character", ["x", '"', "\U0001f9e0"], ids=["letters", "quotes", "emoji"])
    def test_its_environment_fits_whatever_gates_failed(self, tmp_path: Path, character: str) -> None:
        # Given a release that fails every gate, each at length, with the longest reason
        outcomes = gates.evaluate(GOOD, comparable=True, over_champion=None, rival="", dataset="")
        names = [outcome["name"] for outcome in outcomes]
        failed = tuple(Gate(name=name, passed=False, detail="x" * 1000) for name in names)
        released = releases.load(RELEASE)
        model = replace(released.model, name="m" * 128)
        release = replace(released, model=model, gates=failed, forced=character * MAX_REASON)
        # When its gateway is synthesized
        found = variables(release, tmp_path)
        # Then its environment, measured as JSON, is within the Lambda's limit, with room for an origin
        assert json.loads(found["MODEL"])["gates_failed"] == names
        assert len(json.dumps(found)) < ENVIRONMENT_LIMIT - 500

    def test_its_asset_is_the_package_with_the_rendered_site(self, assembly: Assembly) -> None:
        sources = [asset["source"] for asset in assembly.assets("gateway")["files"].values()]
        (source,) = [source for source in sources if source["packaging"] == "zip"]
        packed = assembly.folder / source["path"]
        files = {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()}
        package = {f"gateway/{path.name}" for path in (LAMBDAS / "gateway").glob("*.py")}
        site = {"page.html", "dicom.js", "docs.html", "openapi.json", "model-card.html", "model-card.md"}
        assert files == package | {f"gateway/site/{name}" for name in site}
        card = releases.card_path(RELEASE, sha256=releases.load(RELEASE).model.sha256)
        assert (packed / "gateway" / "site" / "model-card.md").read_text() == card.read_text()


def test_no_other_site_may_read_anything_unless_configured(assembly: Assembly) -> None:
    assert "Access-Control-Allow-Origin" not in json.dumps(assembly.template("gateway").content)
