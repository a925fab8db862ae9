"""The REST API: every path goes to one Lambda; predictions may need a key, a signature or a token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

from infra import names
from infra.constructs.gateway.gateway_responses import add_gateway_responses
from infra.constructs.logs import log_group
from infra.constructs.policies import acknowledge
from infra.lambdas.gateway.upload import FORM_TYPE, IMAGE_TYPES, OTHER_NAMES

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

    from infra.config import Settings
    from infra.config.environment import Auth, Throttle
    from infra.constructs.gateway.users import Users

# Listed, never */*: that would turn every body, JSON too, into base64.
BINARY_MEDIA_TYPES = [*IMAGE_TYPES, *OTHER_NAMES, FORM_TYPE]
COMPRESS_FROM = cdk.Size.kibibytes(1)
# TLS 1.2 or 1.3; a regional API takes TLS 1.0 by default. **Unverified on AWS**:
# docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies-list.html
SECURITY_POLICY = "SecurityPolicy_TLS13_1_2_PQ_2025_09"

# No body is logged, only its length.
ACCESS_LOG = {
    "request_id": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "response_bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
    "integration_ms": "$context.integrationLatency",
    "error": "$context.error.responseType",
}
# The caller in each mode: ids of keys and people, which give no access.
_CALLER: dict[Auth, str] = {
    "api_key": "$context.identity.apiKeyId",
    "iam": "$context.identity.userArn",
    "cognito": "$context.authorizer.claims.sub",
}

# The rules of cdk-nag that POST breaks in each mode, and why that is right.
_GUARDS: dict[Auth, tuple[tuple[str, ...], str]] = {
    "none": (("APIG4", "COG4"), "The emulator's API; the settings refuse this elsewhere."),
    "api_key": (("APIG4", "COG4"), "An API key is required, which binds its callers to the usage plan."),
    "iam": (("COG4",), "Callers sign with IAM; there are no users of our own to sign in."),
}


class Api(Construct):
    """API Gateway in front of `handler`; `users` sign in where the settings' `auth` is cognito.

    Attributes
    ----------
    url
        The stage's address, with a slash at the end.
    page
        The same without a reference to the stage, which would make a dependency cycle.
    predict_arn
        The resource on which a policy must allow execute-api:Invoke for predictions.
    label_arn
        The same for labels.
    key_id
        Id of the API key that callers must send, if any.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        handler: lambda_.IFunction,
        users: Users | None,
    ) -> None:
        super().__init__(scope, id_)
        api = self._build_api(settings)
        _acknowledge_findings(api, firewalled=settings.firewall is not None)
        self._own_execution_logs(api, settings)
        self._add_methods(api, handler, settings.auth, users)
        self.key_id = self._add_key(api, settings.throttle) if settings.auth == "api_key" else None
        add_gateway_responses(api, allowed_origin=settings.allowed_origin)
        self.api_id = api.rest_api_id
        self.url = api.url
        stack = cdk.Stack.of(self)
        self.page = (
            f"https://{api.rest_api_id}.execute-api.{stack.region}.{stack.url_suffix}/{names.STAGE_NAME}/"
        )
        self.stage_arn = api.deployment_stage.stage_arn
        self.predict_arn = api.arn_for_execute_api("POST", settings.predict_path, names.STAGE_NAME)
        self.label_arn = api.arn_for_execute_api("POST", "/predictions/*/label", names.STAGE_NAME)

    def _build_api(self, settings: Settings) -> apigateway.RestApi:
        name, log_role = names.deployment(settings.environment), _log_role(settings)
        access_logs = log_group(self, "AccessLogs", retention_days=settings.log_retention_days)
        caller = {"caller": _CALLER[settings.auth]} if settings.auth in _CALLER else {}
        api = apigateway.RestApi(
            self,
            "RestApi",
            rest_api_name=name,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            binary_media_types=BINARY_MEDIA_TYPES,
            min_compression_size=COMPRESS_FROM,
            cloud_watch_role=log_role is not None,
            cloud_watch_role_removal_policy=log_role,
            deploy_options=apigateway.StageOptions(
                stage_name=names.STAGE_NAME,
                throttling_rate_limit=settings.throttle.requests_per_second,
                throttling_burst_limit=settings.throttle.burst,
                access_log_destination=apigateway.LogGroupLogDestination(access_logs),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG | caller)),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,  # it would write bodies, that is images, into the log
                tracing_enabled=True,
            ),
        )
        api.node.try_remove_child("Endpoint")  # it would add an output beside the stack's Url
        if role := api.node.try_find_child("CloudWatchRole"):
            # `scripts/deploy` reads whose it is; the emulator passes no stack's tags on to its resources.
            cdk.Tags.of(role).add("deployment", name)
        declared = cast("apigateway.CfnRestApi", api.node.default_child)
        declared.security_policy = SECURITY_POLICY
        declared.endpoint_access_mode = "STRICT"  # only requests whose SNI names this API
        return api

    def _own_execution_logs(self, api: apigateway.RestApi, settings: Settings) -> None:
        # API Gateway would create this group by itself and keep it forever.
        name = f"API-Gateway-Execution-Logs_{api.rest_api_id}/{names.STAGE_NAME}"
        logs = log_group(self, "ExecutionLogs", retention_days=settings.log_retention_days, name=name)
        api.deployment_stage.node.add_dependency(logs)

    def _add_methods(
        self, api: apigateway.RestApi, handler: lambda_.IFunction, auth: Auth, users: Users | None
    ) -> None:
        """Send everything to the Lambda; guard every POST below the root.

        A guard on a resource /predict alone could be bypassed through /{proxy+} with another spelling.
        """
        to_handler = apigateway.LambdaIntegration(handler, allow_test_invoke=False)
        below_root = api.root.add_resource("{proxy+}")
        for resource in (api.root, below_root):
            method = resource.add_method("ANY", to_handler)
            for rule in ("APIG4", "COG4"):
                reason = "Page, documents and health are for everyone; nothing here calls the model."
                acknowledge(method, f"AwsSolutions-{rule}", reason=reason)
        if (auth == "cognito") != (users is not None):
            raise ValueError("users are needed for cognito, and only for it")
        protected = below_root.add_method(
            "POST",
            to_handler,
            api_key_required=auth == "api_key",
            authorization_type=apigateway.AuthorizationType.IAM if auth == "iam" else None,
            authorizer=(
                apigateway.CognitoUserPoolsAuthorizer(self, "Authorizer", cognito_user_pools=[users.pool])
                if users
                else None
            ),
            # With a scope API Gateway takes access tokens that carry it, and no identity token.
            authorization_scopes=[users.scope] if users else None,
        )
        rules, reason = _GUARDS.get(auth, ((), ""))
        for rule in rules:
            acknowledge(protected, f"AwsSolutions-{rule}", reason=reason)

    def _add_key(self, api: apigateway.RestApi, throttle: Throttle) -> str:
        """Add a key, whose value AWS generates, and the plan that limits it; return its id."""
        plan = api.add_usage_plan(
            "UsagePlan",
            api_stages=[apigateway.UsagePlanPerApiStage(api=api, stage=api.deployment_stage)],
            throttle=apigateway.ThrottleSettings(
                rate_limit=throttle.requests_per_second, burst_limit=throttle.burst
            ),
        )
        key = apigateway.ApiKey(self, "Key")
        plan.add_api_key(key)
        return key.key_id


def _log_role(settings: Settings) -> cdk.RemovalPolicy | None:
    """Return what becomes with the stack of the region's one role for API Gateway's logs.

    None where another stack has set it: all APIs share it.
    """
    if settings.api_log_role == "existing":
        return None
    return cdk.RemovalPolicy.RETAIN if settings.retain_data else cdk.RemovalPolicy.DESTROY


def _acknowledge_findings(api: apigateway.RestApi, *, firewalled: bool) -> None:
    acknowledge(
        api,
        "AwsSolutions-APIG2",
        reason="The bodies are images and forms, which no JSON schema describes; the Lambda checks them.",
    )
    if not firewalled:
        acknowledge(
            api.deployment_stage,
            "AwsSolutions-APIG3",
            reason="Requests are throttled and every body is checked; a web ACL costs by the month.",
        )
    acknowledge(
        api,
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
        "AmazonAPIGatewayPushToCloudWatchLogs]",
        reason="API Gateway's own policy for its logs; it names no narrower one.",
    )
