"""Access to the API in each mode of `auth`, including modes that no environment uses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest

from infra import config
from infra.config.environment import Auth, Firewall
from infra.constructs.gateway.firewall import MANAGED_GROUPS, SECRET_HEADERS
from tests.infra.synthesis import synthesize_gateway, text
from tests.infra.test_checks import lint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.infra.synthesis import Json, Template

GUARDED = tuple(mode for mode in get_args(Auth) if mode != "none")
CALLERS = {
    "api_key": "$context.identity.apiKeyId",
    "iam": "$context.identity.userArn",
    "cognito": "$context.authorizer.claims.sub",
}


@pytest.fixture(scope="module")
def by_mode(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Template]:
    """The gateway in each mode, the first two with a firewall and all with another site's origin."""
    return {
        mode: synthesize_gateway(
            replace(
                config.load("dev"),
                auth=mode,
                allowed_origin="https://example.org",
                firewall=Firewall(requests_per_five_minutes=500) if mode != "cognito" else None,
                sign_in=None,
            ),
            tmp_path_factory.mktemp(mode),
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
def test_the_lambda_and_the_log_know_the_mode(by_mode: Mapping[str, Template], mode: str) -> None:
    variables = by_mode[mode].properties("Lambda::Function")["Environment"]["Variables"]
    assert variables["AUTH"] == mode
    assert variables["ALLOWED_ORIGIN"] == "https://example.org"
    assert ("SIGN_IN" in variables) == (mode == "cognito")
    log = json.loads(by_mode[mode].properties("ApiGateway::Stage")["AccessLogSetting"]["Format"])
    assert log["caller"] == CALLERS[mode]


@pytest.mark.parametrize("mode", GUARDED)
def test_another_sites_pages_may_read_errors(by_mode: Mapping[str, Template], mode: str) -> None:
    for response in by_mode[mode].all("ApiGateway::GatewayResponse").values():
        headers = response["Properties"]["ResponseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'https://example.org'"
        challenged = "gatewayresponse.header.WWW-Authenticate" in headers
        assert challenged == (response["Properties"]["StatusCode"] == "401")


def sign_in_of(template: Template) -> Json:
    """Return what the page knows of the sign-in."""
    variables = template.properties("Lambda::Function")["Environment"]["Variables"]
    sign_in: Json = json.loads(text(variables["SIGN_IN"]))
    return sign_in


class TestPeople:
    """Users of Cognito."""

    def test_the_gateway_itself_checks_tokens_of_this_pool(self, cognito: Template) -> None:
        (pool_id,) = cognito.all("Cognito::UserPool")
        (authorizer_id,) = cognito.all("ApiGateway::Authorizer")
        authorizer = cognito.properties("ApiGateway::Authorizer")
        assert authorizer["Type"] == "COGNITO_USER_POOLS"
        assert authorizer["ProviderARNs"] == [{"Fn::GetAtt": [pool_id, "Arn"]}]
        assert authorizer["IdentitySource"] == "method.request.header.Authorization"
        assert methods(cognito)["POST"]["AuthorizerId"] == {"Ref": authorizer_id}

    def test_people_cannot_sign_up_and_need_two_factors(self, cognito: Template) -> None:
        pool = cognito.properties("Cognito::UserPool")
        assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
        assert pool["MfaConfiguration"] == "ON"
        assert pool["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
        policy = pool["Policies"]["PasswordPolicy"]
        assert policy["MinimumLength"] >= 12
        assert all(policy[f"Require{kind}"] for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols"))

    def test_the_page_has_no_secret_and_gets_tokens_by_code_alone(self, cognito: Template) -> None:
        client = cognito.properties("Cognito::UserPoolClient")
        assert client["GenerateSecret"] is False
        assert client["AllowedOAuthFlows"] == ["code"]
        assert [text(scope).rpartition("/")[2] for scope in client["AllowedOAuthScopes"]] == ["predict"]
        assert client["PreventUserExistenceErrors"] == "ENABLED"
        assert client["EnableTokenRevocation"] is True
        units = set(client["TokenValidityUnits"].values())
        assert (units, client["AccessTokenValidity"], client["RefreshTokenValidity"]) == ({"minutes"}, 60, 60)

    def test_people_sign_in_at_the_pool_and_return_to_the_stages_own_page(self, cognito: Template) -> None:
        client = cognito.properties("Cognito::UserPoolClient")
        (api_id,), (client_id,) = cognito.all("ApiGateway::RestApi"), cognito.all("Cognito::UserPoolClient")
        page = f"https://<{api_id}>.execute-api.eu-west-1.<AWS::URLSuffix>/v1/"
        assert [text(address) for address in client["CallbackURLs"]] == [page]
        assert client["LogoutURLs"] == client["CallbackURLs"]
        (domain_id,) = cognito.all("Cognito::UserPoolDomain")
        assert sign_in_of(cognito) == {
            "address": f"https://<{domain_id}>.auth.eu-west-1.amazoncognito.com",
            "client_id": f"<{client_id}>",
            "scope": "tumor-detector/predict",
        }
        domain = text(cognito.properties("Cognito::UserPoolDomain")["Domain"])
        assert domain == "tumor-detector-dev-<AWS::AccountId>"

    @pytest.mark.parametrize("retain", [True, False])
    def test_people_are_retained_where_data_is(self, tmp_path: Path, retain: bool) -> None:
        template = synthesize_gateway(
            replace(config.load("dev"), auth="cognito", retain_data=retain), tmp_path
        )
        pool = template.only("Cognito::UserPool")
        assert pool["Properties"]["DeletionProtection"] == ("ACTIVE" if retain else "INACTIVE")
        assert pool["DeletionPolicy"] == ("Retain" if retain else "Delete")


class TestFirewall:
    """AWS WAF."""

    @pytest.fixture
    def acl(self, by_mode: Mapping[str, Template]) -> Json:
        return by_mode["iam"].properties("WAFv2::WebACL")

    def test_it_protects_the_stage(self, by_mode: Mapping[str, Template], acl: Json) -> None:
        template = by_mode["iam"]
        (acl_id,), (stage_id,) = template.all("WAFv2::WebACL"), template.all("ApiGateway::Stage")
        (api_id,) = template.all("ApiGateway::RestApi")
        association = template.properties("WAFv2::WebACLAssociation")
        assert association["WebACLArn"] == {"Fn::GetAtt": [acl_id, "Arn"]}
        stage_arn = f"arn:aws:apigateway:eu-west-1::/restapis/<{api_id}>/stages/<{stage_id}>"
        assert text(association["ResourceArn"]) == stage_arn
        assert acl["Scope"] == "REGIONAL"

    def test_an_address_that_floods_is_blocked_first(self, acl: Json) -> None:
        first = min(acl["Rules"], key=lambda rule: rule["Priority"])
        limit = {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 500}
        assert first["Statement"] == {"RateBasedStatement": limit}
        assert first["Action"] == {"Block": {}}

    def test_rules_on_bodies_count_and_all_others_block(self, acl: Json) -> None:
        # A rule that blocks bodies would block images, whose bytes can look like an attack.
        managed = {rule["Name"]: rule for rule in acl["Rules"] if "OverrideAction" in rule}
        assert managed.keys() == MANAGED_GROUPS.keys()
        for name, rule in managed.items():
            group = rule["Statement"]["ManagedRuleGroupStatement"]
            assert (group["VendorName"], group["Name"]) == ("AWS", name)
            assert rule["OverrideAction"] == {"None": {}}
            overridden = {each["Name"]: each["ActionToUse"] for each in group.get("RuleActionOverrides", [])}
            assert overridden == {counted: {"Count": {}} for counted in MANAGED_GROUPS[name]}
            assert all(counted.endswith("_BODY") for counted in overridden)

    def test_logs_and_samples_hide_credentials(self, by_mode: Mapping[str, Template], acl: Json) -> None:
        protected = acl["DataProtectionConfig"]["DataProtections"]
        hidden = [name for each in protected for name in each["Field"]["FieldKeys"]]
        logging = by_mode["iam"].properties("WAFv2::LoggingConfiguration")
        redacted = [each["SingleHeader"]["Name"] for each in logging["RedactedFields"]]
        assert sorted(hidden) == sorted(redacted) == sorted(SECRET_HEADERS)
        assert {"authorization", "x-api-key"} <= set(SECRET_HEADERS)

    def test_blocked_requests_alone_are_logged_to_our_group(self, by_mode: Mapping[str, Template]) -> None:
        template = by_mode["iam"]
        logging = template.properties("WAFv2::LoggingConfiguration")
        groups = [
            text(each["Properties"].get("LogGroupName")) for each in template.all("Logs::LogGroup").values()
        ]
        name = text(logging["LogDestinationConfigs"][0]).rpartition(":log-group:")[2]
        assert name.startswith("aws-waf-logs-")
        assert name in groups
        assert logging["LoggingFilter"]["DefaultBehavior"] == "DROP"

    def test_without_the_table_there_is_none(self, cognito: Template) -> None:
        assert not [kind for item in cognito.content["Resources"].values() if "WAF" in (kind := item["Type"])]


def test_the_resource_for_callers_policies_is_an_output(by_mode: Mapping[str, Template]) -> None:
    arn = text(by_mode["iam"].content["Outputs"]["PredictArn"]["Value"])
    assert arn.endswith("/v1/POST/predict")
