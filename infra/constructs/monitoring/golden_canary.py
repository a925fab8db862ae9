"""A scheduled Lambda that checks the release's golden answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets

from infra import names
from infra.config.file_errors import FileError
from infra.constructs.policies import allow, arn
from infra.constructs.python_function import PythonFunction
from infra.lambdas.canary.golden import PHANTOMS, phantom_file
from infra.lambdas.gateway import metrics

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch
    from constructs import Construct

    from infra.config import Settings
    from infra.release import Release

TIMEOUT = cdk.Duration.minutes(2)  # four answers, each within the gateway's 28 s
MEMORY_MB = 256


class GoldenCanary(PythonFunction):
    """What `scripts/smoke` checks after a deploy, checked again every few minutes.

    A scheduled Lambda, not CloudWatch Synthetics: it is our own tested code, needs no browser, and its errors
    are a metric already. It calls the gateway's Lambda, and while the endpoint is being updated it accepts
    different answers.
    """

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, release: Release, every: cdk.Duration
    ) -> None:
        _check_drawings(release)
        environment = settings.environment
        function_name = names.function(environment)
        answers = [asdict(golden) for golden in release.golden]
        super().__init__(
            scope,
            id_,
            package="canary",
            environment={
                "FUNCTION_NAME": function_name,
                "ENDPOINT_NAME": settings.endpoint_name,
                "REQUEST_ID_PREFIX": metrics.UNCOUNTED,
                "MODEL_SHA256": release.model.sha256,
                "GOLDEN": json.dumps(
                    [{key: value for key, value in each.items() if value is not None} for each in answers]
                ),
            },
            memory_mb=MEMORY_MB,
            timeout=TIMEOUT,
            log_retention_days=settings.log_retention_days,
            retry_attempts=0,  # the next run checks again; a retry would only count one failure three times
        )
        allow(
            self.role, "lambda:InvokeFunction", on=arn(self, "lambda", "function", function_name, colon=True)
        )
        endpoints = [arn(self, "sagemaker", "endpoint", each) for each in names.endpoints(environment)]
        allow(self.role, "sagemaker:DescribeEndpoint", on=endpoints)
        target = targets.LambdaFunction(self.function, retry_attempts=0)
        events.Rule(self, "Schedule", schedule=events.Schedule.rate(every), targets=[target])
        self._every = every

    def failures(self) -> cloudwatch.Metric:
        """Return how often it failed in one of its own periods; no data means that it did not run."""
        return self.function.metric_errors(period=self._every, statistic="Sum", label="Golden answers wrong")


def _check_drawings(release: Release) -> None:
    """Refuse a release whose golden answers are about a phantom that is not drawn."""
    files = [phantom_file(seed=golden.seed, lesion=golden.lesion) for golden in release.golden]
    missing = [
        f"{name}: missing; draw it with model/data/phantom.py, or leave out [monitoring.golden_canary]"
        for name in files
        if not (PHANTOMS / name).is_file()
    ]
    if missing:
        raise FileError(PHANTOMS, missing)
