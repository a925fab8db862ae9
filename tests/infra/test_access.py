"""Who is let in, in each mode: the templates that no environment of ours has are synthesized here too."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import aws_cdk as cdk
import pytest
from aws_cdk import Validations
from cdk_nag import AwsSolutionsChecks

from infra import config
from infra import release as releases
from infra.app import GATEWAY
from infra.config import SettingsError
from infra.constructs.firewall import SECRET_HEADERS
from infra.settings.access import Auth, Firewall, SignIn
from infra.stacks.gateway import GatewayStack
from tests.infra.synthesis import RELEASES, Template, cli_context, text
from tests.infra.test_checks import lint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.config import Settings
    from tests.infra.synthesis import Assembly, Json

RECORD = RELEASES / "dev.json"
GUARDED = tuple(mode for mode in get_args(Auth) if mode != "none")
# As AWS names them; a rule that blocks a body would block images, of which some look like anything.
COUNTED = {
    "AWSManagedRulesAmazonIpReputationList": set(),
    "AWSManagedRulesCommonRuleSet": {
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "SizeRestrictions_BODY",
    },
    "AWSManagedRulesKnownBadInputsRuleSet": {
        "JavaDeserializationRCE_BODY",
        "Log4JRCE_BODY",
        "ReactJSRCE_BODY",
    },
}
CALLERS = {
    "api_key": "$context.identity.apiKeyId",
    "iam": "$context.identity.userArn",
    "cognito": "$context.authorizer.claims.sub",
}


def synthesize(settings: Settings, *, to: Path) -> Template:
    """The gateway's template with these settings; cdk-nag has no finding without a reason."""
    app = cdk.App(context=cli_context(), outdir=str(to))
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    release = releases.load(RECORD)
    card = releases.card_path(RECORD, sha256=release.model.sha256)
    GatewayStack(app, "gateway", settings=settings, release=release, gateway=GATEWAY, card=card)
    app.synth()
    return Template(to / "gateway.template.json")


@pytest.fixture(scope="module")
def by_mode(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Template]:
    """The gateway in each mode, the first two with a firewall and all with another site's origin."""
    return {
        mode: synthesize(
            replace(
                config.load("dev"),
                auth=mode,
                allowed_origin="https://example.org",
                firewall=Firewall(requests_per_five_minutes=500) if mode != "cognito" else None,
                sign_in=None,
            ),
            to=tmp_path_factory.mktemp(mode),
        )
        for mode in GUARDED
    }


@pytest.fixture
def cognito(by_mode: Mapping[str, Template]) -> Template:
    return by_mode["cognito"]


def test_cfn_lint_is_clean_in_every_mode(by_mode: Mapping[str, Template]) -> None:
    lint(*by_mode.values())


def methods(template: Template) -> dict[str, Json]:
    found = [item["Properties"] for item in template.all("ApiGateway::Method").values()]
    return {method["HttpMethod"]: method for method in found if "Ref" in method["ResourceId"]}


@pytest.mark.parametrize("mode", GUARDED)
def test_asking_the_model_is_guarded_and_all_else_open(by_mode: Mapping[str, Template], mode: str) -> None:
    guards = {
        "api_key": ("NONE", True, None),
        "iam": ("AWS_IAM", False, None),
        "cognito": ("COGNITO_USER_POOLS", False, ["tumor-detector/predict"]),
    }
    found = methods(by_mode[mode])
    post = found["POST"]
    guard = (post["AuthorizationType"], post.get("ApiKeyRequired", False), post.get("AuthorizationScopes"))
    assert guard == guards[mode]
    assert found["ANY"]["AuthorizationType"] == "NONE"
    assert not found["ANY"].get("ApiKeyRequired")


@pytest.mark.parametrize("mode", GUARDED)
def test_every_mode_is_throttled_and_only_keys_have_a_plan(
    by_mode: Mapping[str, Template], mode: str
) -> None:
    throttle = config.load("dev").throttle
    (settings,) = by_mode[mode].properties("ApiGateway::Stage")["MethodSettings"]
    assert settings["ThrottlingRateLimit"] == throttle.requests_per_second
    assert settings["ThrottlingBurstLimit"] == throttle.burst
    assert len(by_mode[mode].all("ApiGateway::UsagePlan")) == (mode == "api_key")


@pytest.mark.parametrize("mode", GUARDED)
def test_the_lambda_and_the_log_know_the_mode(by_mode: Mapping[str, Template], mode: str) -> None:
    variables = by_mode[mode].properties("Lambda::Function")["Environment"]["Variables"]
    assert variables["AUTH"] == mode
    assert ("SIGN_IN" in variables) == (mode == "cognito")
    log = json.loads(by_mode[mode].properties("ApiGateway::Stage")["AccessLogSetting"]["Format"])
    assert log["caller"] == CALLERS[mode]
    assert not [name for name in log.values() if "body" in name or "header" in name.lower()]


@pytest.mark.parametrize("mode", GUARDED)
def test_another_sites_pages_may_read_why_they_are_not_let_in(
    by_mode: Mapping[str, Template], mode: str
) -> None:
    for response in by_mode[mode].all("ApiGateway::GatewayResponse").values():
        headers = response["Properties"]["ResponseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'https://example.org'"
        told = json.loads(response["Properties"]["ResponseTemplates"]["application/json"])["status"]
        assert ("gatewayresponse.header.WWW-Authenticate" in headers) == (told == 401)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ('auth = "cognito"\n[sign_in]\npages = ["http://example.org/"]', ["sign_in.pages.0"]),
        ('auth = "cognito"\n[sign_in]\npages = ["https://example.org"]', ["sign_in.pages.0"]),
        ('auth = "cognito"\n[sign_in]\npages = ["https://example.org/{stage}/"]', ["sign_in.pages.0"]),
        ('auth = "cognito"\n[sign_in]\npages = ["https://a.org/", "https://a.org/"]', ["sign_in.pages"]),
        ('auth = "cognito"\n[sign_in]\ndomain = "x"', ["sign_in.domain: unknown key"]),
        ('auth = "cognito"\n[sign_in]\nlaptop_address = "http://localhost:1"', ["sign_in", "for a laptop"]),
        (
            'auth = "iam"\n[sign_in]\npages = ["https://example.org/"]',
            ["sign_in", 'only for auth = "cognito"'],
        ),
        ('auth = "password"', ["auth = 'password'", "cognito"]),
        (
            'auth = "iam"\n[firewall]\nrequests_per_five_minutes = 9',
            ["firewall.requests_per_five_minutes = 9"],
        ),
        ('auth = "iam"\n[firewall]\nrequests_per_five_minutes = "1"', ["requests_per_five_minutes = '1'"]),
        ('auth = "iam"\n[firewall]', ["firewall.requests_per_five_minutes: missing"]),
        (
            'auth = "iam"\n[firewall]\nrate = 1\n[sign_in]\npages = ["x"]',
            ["firewall.rate: unknown key", "requests_per_five_minutes: missing", "sign_in.pages.0"],
        ),
    ],
)
def test_wrong_settings_are_refused_with_all_that_is_wrong(
    tmp_path: Path, written: str, named: list[str]
) -> None:
    dev = (config.ENVIRONMENTS / "dev.toml").read_text()
    auth, _, tables = written.partition("\n")
    changed = re.sub('auth = ".*"', auth, dev) + f"\n{tables}\n"
    (tmp_path / "dev.toml").write_text(changed)
    with pytest.raises(SettingsError) as error:
        config.load("dev", folder=tmp_path)
    assert [name for name in named if name not in str(error.value)] == []


class TestPeople:
    """With cognito."""

    def test_the_gateway_itself_checks_tokens_of_this_pool(self, cognito: Template) -> None:
        (pool_id,) = cognito.all("Cognito::UserPool")
        (authorizer_id,) = cognito.all("ApiGateway::Authorizer")
        authorizer = cognito.properties("ApiGateway::Authorizer")
        assert authorizer["Type"] == "COGNITO_USER_POOLS"
        assert authorizer["ProviderARNs"] == [{"Fn::GetAtt": [pool_id, "Arn"]}]
        assert authorizer["IdentitySource"] == "method.request.header.Authorization"
        assert methods(cognito)["POST"]["AuthorizerId"] == {"Ref": authorizer_id}

    def test_nobody_signs_up_and_everybody_has_two_factors(self, cognito: Template) -> None:
        pool = cognito.properties("Cognito::UserPool")
        assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
        assert pool["MfaConfiguration"] == "ON"
        assert pool["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
        policy = pool["Policies"]["PasswordPolicy"]
        assert policy["MinimumLength"] >= 12
        assert all(policy[f"Require{kind}"] for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols"))

    def test_the_page_has_no_secret_and_one_way_to_a_token(self, cognito: Template) -> None:
        client = cognito.properties("Cognito::UserPoolClient")
        assert client["GenerateSecret"] is False
        assert client["AllowedOAuthFlows"] == ["code"]
        assert [text(scope).rpartition("/")[2] for scope in client["AllowedOAuthScopes"]] == ["predict"]
        assert client["PreventUserExistenceErrors"] == "ENABLED"
        assert client["EnableTokenRevocation"] is True
        units = set(client["TokenValidityUnits"].values())
        assert (units, client["AccessTokenValidity"], client["RefreshTokenValidity"]) == ({"minutes"}, 60, 60)

    def test_people_come_back_to_the_stages_own_page(self, cognito: Template) -> None:
        client = cognito.properties("Cognito::UserPoolClient")
        (api_id,) = cognito.all("ApiGateway::RestApi")
        page = f"https://<{api_id}>.execute-api.eu-west-1.<AWS::URLSuffix>/v1/"
        assert [text(address) for address in client["CallbackURLs"]] == [page]
        assert client["LogoutURLs"] == client["CallbackURLs"]

    def test_the_page_is_told_where_people_sign_in(self, cognito: Template) -> None:
        (client_id,) = cognito.all("Cognito::UserPoolClient")
        (domain_id,) = cognito.all("Cognito::UserPoolDomain")
        told = json.loads(text(cognito.properties("Lambda::Function")["Environment"]["Variables"]["SIGN_IN"]))
        assert told == {
            "address": f"https://<{domain_id}>.auth.eu-west-1.amazoncognito.com",
            "client_id": f"<{client_id}>",
            "scope": "tumor-detector/predict",
        }
        domain = text(cognito.properties("Cognito::UserPoolDomain")["Domain"])
        assert domain == "tumor-detector-dev-<AWS::AccountId>"

    @pytest.mark.parametrize("retain", [True, False])
    def test_people_are_kept_where_data_is(self, tmp_path: Path, retain: bool) -> None:
        template = synthesize(replace(config.load("dev"), auth="cognito", retain_data=retain), to=tmp_path)
        pool = template.only("Cognito::UserPool")
        assert pool["Properties"]["DeletionProtection"] == ("ACTIVE" if retain else "INACTIVE")
        assert pool["DeletionPolicy"] == ("Retain" if retain else "Delete")

    def test_further_addresses_and_a_laptops_are_taken_as_given(self, tmp_path: Path) -> None:
        # Given a page behind a domain of its own, and a laptop's Cognito
        sign_in = SignIn(
            pages=("https://scan.example.org/", "http://localhost:4566/restapis/{api_id}/v1/_user_request_/"),
            laptop_address="http://localhost:4566",
        )
        local = replace(config.load("local"), auth="cognito", sign_in=sign_in)
        # When it is synthesized
        template = synthesize(local, to=tmp_path)
        # Then people may come back to each, and sign in there
        (api_id,) = template.all("ApiGateway::RestApi")
        client = template.properties("Cognito::UserPoolClient")
        assert [text(address) for address in client["CallbackURLs"]][1:] == [
            "https://scan.example.org/",
            f"http://localhost:4566/restapis/<{api_id}>/v1/_user_request_/",
        ]
        told = json.loads(
            text(template.properties("Lambda::Function")["Environment"]["Variables"]["SIGN_IN"])
        )
        assert told["address"] == "http://localhost:4566"


class TestFirewall:
    """With a firewall."""

    @pytest.fixture
    def acl(self, by_mode: Mapping[str, Template]) -> Json:
        return by_mode["iam"].properties("WAFv2::WebACL")

    @pytest.fixture
    def rules(self, acl: Json) -> dict[str, Json]:
        return {rule["Name"]: rule for rule in acl["Rules"]}

    def test_it_stands_before_the_stage(self, by_mode: Mapping[str, Template]) -> None:
        template = by_mode["iam"]
        (acl_id,), (stage_id,) = template.all("WAFv2::WebACL"), template.all("ApiGateway::Stage")
        (api_id,) = template.all("ApiGateway::RestApi")
        association = template.properties("WAFv2::WebACLAssociation")
        assert association["WebACLArn"] == {"Fn::GetAtt": [acl_id, "Arn"]}
        stage_arn = f"arn:aws:apigateway:eu-west-1::/restapis/<{api_id}>/stages/<{stage_id}>"
        assert text(association["ResourceArn"]) == stage_arn
        assert template.properties("WAFv2::WebACL")["Scope"] == "REGIONAL"

    def test_an_address_that_floods_is_blocked_first(self, acl: Json) -> None:
        first = min(acl["Rules"], key=lambda rule: rule["Priority"])
        limit = {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 500}
        assert first["Statement"] == {"RateBasedStatement": limit}
        assert first["Action"] == {"Block": {}}

    def test_rules_that_look_at_bodies_count_and_all_others_block(self, rules: dict[str, Json]) -> None:
        managed = {name: rule for name, rule in rules.items() if "OverrideAction" in rule}
        assert managed.keys() == COUNTED.keys()
        for name, counted in COUNTED.items():
            group = managed[name]["Statement"]["ManagedRuleGroupStatement"]
            assert (group["VendorName"], group["Name"]) == ("AWS", name)
            assert managed[name]["OverrideAction"] == {"None": {}}
            overridden = {each["Name"]: each["ActionToUse"] for each in group.get("RuleActionOverrides", [])}
            assert overridden == {rule: {"Count": {}} for rule in counted}

    def test_no_log_and_no_sample_shows_what_lets_in(
        self, by_mode: Mapping[str, Template], acl: Json
    ) -> None:
        protected = acl["DataProtectionConfig"]["DataProtections"]
        hidden = [name for each in protected for name in each["Field"]["FieldKeys"]]
        logging = by_mode["iam"].properties("WAFv2::LoggingConfiguration")
        redacted = [each["SingleHeader"]["Name"] for each in logging["RedactedFields"]]
        assert sorted(hidden) == sorted(redacted) == sorted(SECRET_HEADERS)
        assert {"authorization", "x-api-key"} <= set(SECRET_HEADERS)

    def test_what_is_blocked_is_logged_to_a_group_that_expires(self, by_mode: Mapping[str, Template]) -> None:
        template = by_mode["iam"]
        logging = template.properties("WAFv2::LoggingConfiguration")
        groups = {
            text(group["Properties"].get("LogGroupName")) for group in template.all("Logs::LogGroup").values()
        }
        name = text(logging["LogDestinationConfigs"][0]).rpartition(":log-group:")[2]
        assert name.startswith("aws-waf-logs-")
        assert name in groups
        assert logging["LoggingFilter"]["DefaultBehavior"] == "DROP"

    def test_without_one_nothing_of_it_is_declared(self, cognito: Template) -> None:
        assert not [kind for item in cognito.content["Resources"].values() if "WAF" in (kind := item["Type"])]


def test_prod_alone_of_our_environments_has_a_firewall(assemblies: Mapping[str, Assembly]) -> None:
    found = {name for name, each in assemblies.items() if each.template("gateway").all("WAFv2::WebACL")}
    assert found == {"prod"}


def test_who_may_sign_is_told_what_to_be_allowed(by_mode: Mapping[str, Template]) -> None:
    arn = text(by_mode["iam"].content["Outputs"]["PredictArn"]["Value"])
    assert arn.endswith("/v1/POST/predict")


def test_the_lambdas_names_are_those_that_are_watched() -> None:
    from infra.constructs import gateway_metrics as watched  # noqa: PLC0415
    from tests.infra.test_contract import of_the_lambda  # noqa: PLC0415

    metrics: Any = of_the_lambda("metrics")
    assert watched.NAMESPACE == metrics.NAMESPACE
    assert watched.ENDPOINT_DIMENSION == metrics.DIMENSION
    assert {metrics.YES, metrics.NO} == set(watched.PREDICTION_METRICS.values())
    assert watched.REFUSAL_METRIC == metrics.REFUSED
