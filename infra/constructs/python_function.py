"""A Lambda function of one package under `infra/lambdas`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.logs import log_group
from infra.constructs.policies import acknowledge
from infra.paths import LAMBDAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aws_cdk as cdk

    from infra.config.environment import RetentionDays

_SOURCE_SUFFIXES = (".py", ".png")


class PythonFunction(Construct):
    """A function with its own role and log group; its handler is `PACKAGE.handler.handle`.

    `role` may write to the log group, and nothing else until it is given more. `package` is a folder in
    `infra/lambdas`, `extra_files` has the text of further files by their paths there.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        package: str,
        environment: Mapping[str, str],
        memory_mb: int,
        timeout: cdk.Duration,
        log_retention_days: RetentionDays,
        extra_files: Mapping[str, str] | None = None,
        name: str | None = None,
        tracing: lambda_.Tracing | None = None,
        retry_attempts: int | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self.log_group = log_group(self, "Logs", retention_days=log_retention_days)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.log_group.grant_write(self.role)
        with tempfile.TemporaryDirectory() as folder:  # the CDK copies the asset before this ends
            self.function = lambda_.Function(
                self,
                "Function",
                function_name=name,
                runtime=lambda_.Runtime.PYTHON_3_13,
                architecture=lambda_.Architecture.ARM_64,
                handler=f"{package}.handler.handle",
                code=lambda_.Code.from_asset(stage(package, extra_files or {}, Path(folder))),
                environment=dict(environment),
                memory_size=memory_mb,
                timeout=timeout,
                role=self.role,
                log_group=self.log_group,
                tracing=tracing,
                retry_attempts=retry_attempts,
            )
        reason = "Python 3.13 is the newest that the test suite runs on."
        acknowledge(self.function, "AwsSolutions-L1", reason=reason)


def stage(package: str, extra_files: Mapping[str, str], folder: Path) -> str:
    """Write the package and the extra files to a folder and return its path, for an asset."""
    staged = folder / "asset" / package
    shutil.copytree(LAMBDAS / package, staged, ignore=_not_source)
    for name, text in extra_files.items():
        path = staged / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(staged.parent)


def _not_source(folder: str, names: list[str]) -> list[str]:
    """Name what editors, systems and tests leave in a folder: it would change the asset's hash."""
    return [
        name
        for name in names
        if name.startswith((".", "__pycache__"))
        or not (name.endswith(_SOURCE_SUFFIXES) or Path(folder, name).is_dir())
    ]
