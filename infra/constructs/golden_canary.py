"""A Lambda that asks for the release's golden answers by the clock."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.canary.ask import phantom_file
from infra.constructs.logs import log_group
from infra.report import FileError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import RetentionDays
    from infra.release import Release

TIMEOUT = cdk.Duration.minutes(2)  # four answers, each within the gateway's 28 s
MEMORY_MB = 256


class DrawingError(FileError):
    """The folder of drawings lacks one that the release's golden answers are about."""


class GoldenCanary(Construct):
    """What `scripts/smoke` proves after a deploy, proved again every few minutes.

    A scheduled Lambda, not CloudWatch Synthetics: it is our own code with a test, needs no browser, and its
    errors are a metric already.

    Parameters
    ----------
    code
        The folder with its code and the drawn phantoms.
    function_name
        The gateway's Lambda, which it calls.
    endpoint_name
        What serves behind it: while that is updated, other answers than the release's are no failure.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        code: Path,
        release: Release,
        function_name: str,
        endpoint_name: str,
        every: cdk.Duration,
        log_retention_days: RetentionDays,
    ) -> None:
        super().__init__(scope, id_)
        _check_drawings(release, code / "phantoms")
        logs = log_group(self, "Logs", retention_days=log_retention_days)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(role)
        stack = cdk.Stack.of(self)
        gateway_arn = stack.format_arn(
            service="lambda",
            resource="function",
            resource_name=function_name,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        endpoint_arn = stack.format_arn(service="sagemaker", resource="endpoint", resource_name=endpoint_name)
        for action, arn in (
            ("lambda:InvokeFunction", gateway_arn),
            ("sagemaker:DescribeEndpoint", endpoint_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[arn]))
        self._every = every
        self._function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="ask.handle",
            code=lambda_.Code.from_asset(str(code), exclude=["__pycache__"]),
            environment={
                "FUNCTION_NAME": function_name,
                "ENDPOINT_NAME": endpoint_name,
                "MODEL_SHA256": release.model.sha256,
                "GOLDEN": _golden(release),
            },
            memory_size=MEMORY_MB,
            timeout=TIMEOUT,
            role=role,
            log_group=logs,
            retry_attempts=0,  # the next tick asks again; a retry would only count one failure three times
        )
        events.Rule(
            self,
            "Clock",
            schedule=events.Schedule.rate(every),
            targets=[targets.LambdaFunction(self._function, retry_attempts=0)],
        )

    def failures(self) -> cloudwatch.Metric:
        """Return how often it failed in one of its own periods; no data means that it did not run."""
        return self._function.metric_errors(period=self._every, statistic="Sum", label="Golden answers wrong")


def _check_drawings(release: Release, drawings: Path) -> None:
    """Refuse a release of whose golden answers one is about a phantom that is not drawn here."""
    missing = [
        f"{phantom_file(seed=golden.seed, lesion=golden.lesion)}: missing; draw it with model/phantom.py, or "
        "leave out [sight.golden_canary]"
        for golden in release.golden
        if not (drawings / phantom_file(seed=golden.seed, lesion=golden.lesion)).is_file()
    ]
    if missing:
        raise DrawingError(drawings, missing)


def _golden(release: Release) -> str:
    answers = [asdict(golden) for golden in release.golden]
    return json.dumps([{key: value for key, value in each.items() if value is not None} for each in answers])
