"""The gateway lets the right requests through, and answers the others in the contract's own form."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import aws_cdk as cdk
import pytest
from aws_cdk import aws_apigateway as apigateway

from infra import config
from infra import release as releases
from infra.app import GATEWAY
from infra.release import MAX_REASON, Gate
from infra.stacks.gateway import GatewayStack
from model import gates
from tests.infra.synthesis import RELEASES, Template, cli_context

if TYPE_CHECKING:
    from pathlib import Path

    from infra.release import Release
    from tests.infra.synthesis import Assembly, Json


ENVIRONMENT_LIMIT = 4096  # bytes of all of a Lambda's variables
WORST = defaultdict[str, float](lambda: 1.0)
"""Any figures: what the gates say of them does not matter, only what they are called."""


def told(release: Release, *, to: Path) -> dict[str, str]:
    """The variables of the Lambda of dev's gateway with this release, synthesized."""
    app = cdk.App(context=cli_context(), outdir=str(to))
    card = releases.card_path(RELEASES / "dev.json", sha256=release.model.sha256)
    GatewayStack(app, "gateway", settings=config.load("dev"), release=release, gateway=GATEWAY, card=card)
    app.synth()
    function = Template(to / "gateway.template.json").properties("Lambda::Function")
    variables: dict[str, str] = function["Environment"]["Variables"]
    return variables


def methods(assembly: Assembly) -> dict[tuple[str, str], Json]:
    """The API's methods by path and verb."""
    template = assembly.template("gateway")
    paths = {
        id_: f"/{item['Properties']['PathPart']}"
        for id_, item in template.all("ApiGateway::Resource").items()
    }
    found = [item["Properties"] for item in template.all("ApiGateway::Method").values()]
    return {
        (paths.get(method["ResourceId"].get("Ref", ""), "/"), method["HttpMethod"]): method
        for method in found
    }


def test_every_path_reaches_the_lambda(assembly: Assembly) -> None:
    assert methods(assembly).keys() >= {("/", "ANY"), ("/{proxy+}", "ANY")}
    assert {method["Integration"]["Type"] for method in methods(assembly).values()} == {"AWS_PROXY"}


def test_no_spelling_of_a_path_gets_around_the_guard(assembly: Assembly) -> None:
    # A guard on /predict alone leaves /predict/ or /%70redict to the open proxy; one on every POST does not.
    posts = [path for path, verb in methods(assembly) if verb == "POST"]
    assert posts == ["/{proxy+}"]


@pytest.mark.parametrize(
    ("environment", "guard"),
    [
        ("local", {"AuthorizationType": "NONE", "ApiKeyRequired": False}),
        ("dev", {"AuthorizationType": "NONE", "ApiKeyRequired": True}),
        ("prod", {"AuthorizationType": "AWS_IAM", "ApiKeyRequired": False}),
    ],
)
def test_asking_the_model_is_guarded_as_the_settings_say(
    request: pytest.FixtureRequest, environment: str, guard: Json
) -> None:
    assembly = request.getfixturevalue(environment)
    assert guard.items() <= methods(assembly)["/{proxy+}", "POST"].items()
    for path in ("/", "/{proxy+}"):
        assert methods(assembly)[path, "ANY"]["AuthorizationType"] == "NONE"
        assert not methods(assembly)[path, "ANY"].get("ApiKeyRequired")


def test_a_key_is_bound_to_a_plan_of_this_stage(dev: Assembly) -> None:
    template = dev.template("gateway")
    (stage_id,), (key_id,) = template.all("ApiGateway::Stage"), template.all("ApiGateway::ApiKey")
    plan = template.properties("ApiGateway::UsagePlan")
    assert [stage["Stage"] for stage in plan["ApiStages"]] == [{"Ref": stage_id}]
    assert plan["Throttle"] == {"RateLimit": 10, "BurstLimit": 20}
    assert template.properties("ApiGateway::UsagePlanKey")["KeyId"] == {"Ref": key_id}
    assert "Value" not in template.properties("ApiGateway::ApiKey"), "a template is no place for a secret"


def test_binary_media_types_are_listed_and_never_everything(assembly: Assembly) -> None:
    api = assembly.template("gateway").properties("ApiGateway::RestApi")
    assert set(api["BinaryMediaTypes"]) == {
        "image/jpeg", "image/png", "application/octet-stream", "multipart/form-data",
    }  # fmt: skip
    assert api["MinimumCompressionSize"] > 0


class TestStage:
    """What holds for every method."""

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
        assert "body" not in stage["AccessLogSetting"]["Format"].lower()
        assert json.loads(stage["AccessLogSetting"]["Format"])["status"] == "$context.status"

    def test_requests_are_traced(self, stage: Json) -> None:
        assert stage["TracingEnabled"] is True

    def test_logging_waits_for_the_accounts_role(self, assembly: Assembly) -> None:
        template = assembly.template("gateway")
        (account_id,) = template.all("ApiGateway::Account")
        assert account_id in template.only("ApiGateway::Stage")["DependsOn"]


def test_every_log_group_is_ours_and_expires(assembly: Assembly) -> None:
    groups = [group for template in assembly.templates() for group in template.all("Logs::LogGroup").values()]
    retention = config.load(assembly.environment).log_retention_days
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {retention}
    names = json.dumps([group["Properties"].get("LogGroupName") for group in groups])
    assert "/aws/sagemaker/Endpoints/" in names
    assert "API-Gateway-Execution-Logs_" in names


class TestErrors:
    """API Gateway's own answers."""

    @pytest.fixture
    def responses(self, assembly: Assembly) -> dict[str, Json]:
        found = assembly.template("gateway").all("ApiGateway::GatewayResponse").values()
        return {item["Properties"]["ResponseType"]: item["Properties"] for item in found}

    def test_no_type_is_left_in_api_gateways_own_form(self, responses: dict[str, Json]) -> None:
        known = [
            getattr(apigateway.ResponseType, name) for name in dir(apigateway.ResponseType) if name.isupper()
        ]
        assert responses.keys() == {type_.response_type for type_ in known}

    def test_each_is_a_problem_that_says_the_status_it_is_sent_with(self, responses: dict[str, Json]) -> None:
        for response in responses.values():
            problem = json.loads(response["ResponseTemplates"]["application/json"])
            assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
            assert str(problem["status"]) == response["StatusCode"]
            assert problem["request_id"] == "$context.requestId"
            content_type = response["ResponseParameters"]["gatewayresponse.header.Content-Type"]
            assert content_type == "'application/problem+json'"
            request_id = response["ResponseParameters"]["gatewayresponse.header.X-Request-Id"]
            assert request_id == "context.requestId"

    def test_whoever_is_to_come_back_is_told_when(self, responses: dict[str, Json]) -> None:
        for response in responses.values():
            told = "gatewayresponse.header.Retry-After" in response["ResponseParameters"]
            assert told == (response["StatusCode"] in {"429", "503"})

    @pytest.mark.parametrize(
        ("type_", "status"),
        [
            ("ACCESS_DENIED", "403"),
            ("INTEGRATION_FAILURE", "502"),
            ("INTEGRATION_TIMEOUT", "504"),
            ("INVALID_API_KEY", "403"),
            ("MISSING_AUTHENTICATION_TOKEN", "403"),
            ("REQUEST_TOO_LARGE", "413"),
            ("THROTTLED", "429"),
            ("UNAUTHORIZED", "401"),
        ],
    )
    def test_statuses_are_the_contracts(self, responses: dict[str, Json], type_: str, status: str) -> None:
        assert responses[type_]["StatusCode"] == status


class TestFront:
    """The Lambda."""

    @pytest.fixture
    def function(self, assembly: Assembly) -> Json:
        return assembly.template("gateway").properties("Lambda::Function")

    def test_it_answers_before_api_gateway_gives_up(self, function: Json) -> None:
        assert function["Timeout"] < 29

    def test_it_is_told_the_endpoint_and_the_release(self, assembly: Assembly, function: Json) -> None:
        variables = function["Environment"]["Variables"]
        endpoint = assembly.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
        released = releases.load(RELEASES / f"{assembly.environment}.json")
        assert variables["ENDPOINT_NAME"] == endpoint
        assert json.loads(variables["MODEL"]) == {
            "name": released.model.name,
            "version": released.model.version,
            "sha256": released.model.sha256,
            "kind": released.dataset.kind,
            "gates_failed": list(released.gates_failed),
        }

    def test_it_is_told_why_a_failed_gate_was_overridden(self, tmp_path: Path) -> None:
        # Given a release that somebody forced
        release = replace(releases.load(RELEASES / "dev.json"), forced="the committee's vote")
        # When its gateway is synthesized, Then the Lambda knows the reason
        assert json.loads(told(release, to=tmp_path)["MODEL"])["forced"] == "the committee's vote"

    @pytest.mark.parametrize("character", ["x", '"', "\U0001f9e0"], ids=["letters", "quotes", "emoji"])
    def test_what_it_is_told_fits_whatever_the_gates_say(self, tmp_path: Path, character: str) -> None:
        # Given a release that fails every gate there is, each at length, and a reason as long as it may be
        outcomes = gates.evaluate(WORST, comparable=True, over_champion=None, rival="")
        names = [outcome["name"] for outcome in outcomes]
        failed = tuple(Gate(name=name, passed=False, detail="x" * 1000) for name in names)
        dev = releases.load(RELEASES / "dev.json")
        release = replace(
            dev, model=replace(dev.model, name="m" * 128), gates=failed, forced=character * MAX_REASON
        )
        # When its gateway is synthesized
        variables = told(release, to=tmp_path)
        # Then the Lambda takes its environment, which it measures as JSON, with room for an origin
        assert json.loads(variables["MODEL"])["gates_failed"] == names
        assert len(json.dumps(variables)) < ENVIRONMENT_LIMIT - 500

    def test_its_asset_is_the_folder_and_the_releases_card(self, assembly: Assembly) -> None:
        sources = [asset["source"] for asset in assembly.assets("gateway")["files"].values()]
        (source,) = [source for source in sources if source["packaging"] == "zip"]
        packed = assembly.folder / source["path"]
        files = {path.name for path in packed.rglob("*") if path.is_file()}
        expected = {
            path.name for path in GATEWAY.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        }
        assert files == expected | {"model-card.md"}
        assert {"handler.py", "page.html", "page.js"} <= files
        record = RELEASES / f"{assembly.environment}.json"
        card = releases.card_path(record, sha256=releases.load(record).model.sha256)
        assert (packed / "model-card.md").read_text() == card.read_text()


def test_pages_of_the_configured_origin_may_read_errors_too(tmp_path: Path) -> None:
    # Given settings that name another site
    origin = "https://example.org"
    record = RELEASES / "dev.json"
    release = releases.load(record)
    app = cdk.App(context=cli_context(), outdir=str(tmp_path))
    GatewayStack(
        app,
        "gateway",
        settings=replace(config.load("dev"), allowed_origin=origin),
        release=release,
        gateway=GATEWAY,
        card=releases.card_path(record, sha256=release.model.sha256),
    )
    # When it is synthesized
    app.synth()
    template = Template(tmp_path / "gateway.template.json")
    # Then the Lambda and every answer of API Gateway's own name it
    assert template.properties("Lambda::Function")["Environment"]["Variables"]["ALLOWED_ORIGIN"] == origin
    for response in template.all("ApiGateway::GatewayResponse").values():
        headers = response["Properties"]["ResponseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == f"'{origin}'"


def test_no_other_site_may_read_anything_unless_configured(assembly: Assembly) -> None:
    assert "Access-Control-Allow-Origin" not in json.dumps(assembly.template("gateway").content)
