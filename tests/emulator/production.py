"""Prod's stacks on local AWS that enforces policies, and the roles that they declare."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from infra import config, names
from infra.config import ENVIRONMENTS
from infra.local_aws import ACCOUNT
from tests.e2e.production import REPOSITORY, assume_with_github_token
from tests.emulator.cloud import Cloud
from tests.emulator.deployment import REGION, Deployment
from tests.infra.synthesis import RELEASE, as_list, synthesize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.config import Settings
    from tests.infra.synthesis import Assembly

# Role -> its stack, how its logical id begins, and the environments that have it. "full" has every optional
# part at once.
ROLES = {
    "model": ("endpoint", "ExecutionRole", ("local", "prod", "full")),
    "lambda": ("gateway", "FrontRole", ("local", "prod", "full")),
    "canary": ("monitoring", "GoldenCanaryRole", ("prod", "full")),
    "watch": ("delivery", "GitHubWatchRole", ()),  # tests/infra/test_policies.py lists its actions
    "pruning": ("endpoint", "PruningRole", ("local", "prod", "full")),
    "batch": ("endpoint", "BatchRole", ()),  # see tests/emulator/test_batch.py
}
# Added to prod's settings.
ADDED = f"""
[hosting.scaling.off_hours]
timezone = "Europe/Dublin"
working_days = ["MON", "TUE", "WED", "THU", "FRI"]
begin = "20:00"
end = "06:00"
instances = 2

[feedback]
expire_days = 30

[github]
repository = "{REPOSITORY}"
"""


class Prod(Deployment):
    """Prod's stacks, and their roles with all of their permissions or without one."""

    def __init__(self, cloud: Cloud, assembly: Assembly, settings: Settings) -> None:
        super().__init__(cloud, assembly)
        self.settings = settings

    @classmethod
    @contextmanager
    def started(
        cls, folder: Path, *stacks: str, added: str, instances: int = 2, **behaviour: Any
    ) -> Iterator[Self]:
        """Deploy stacks of prod in the emulator's region, with additions to its settings."""
        written = re.sub(r'region = ".*"', f'region = "{REGION}"', (ENVIRONMENTS / "prod.toml").read_text())
        written = written.replace("instance_count = 2", f"instance_count = {instances}")
        (folder / "prod.toml").write_text(written + added)
        assembly = synthesize("prod", folder / "out", release=RELEASE, environments=folder)
        with Cloud.started(folder) as cloud:
            made = cls(cloud, assembly, config.load("prod", folder=folder))
            made.deploy_all(*stacks, **behaviour)
            yield made

    @property
    def canary(self) -> str:
        return self.resources("monitoring")["AWS::Lambda::Function"]

    def role(self, role: str) -> str:
        stack, prefix, _ = ROLES[role]
        return self.cloud.role(self.name(stack), prefix)

    def arn(self, role: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/{self.role(role)}"

    def job_keys(self) -> dict[str, str]:
        """Return the keys of the nightly drift check on GitHub, as environment variables."""
        subject = f"{REPOSITORY}:environment:{names.watch('prod')}"
        return assume_with_github_token(self.client("sts"), self.arn("watch"), subject=subject)

    def acting(self, role: str, service: str) -> Any:
        """Return a client of a service with a role's rights."""
        if role != "watch":
            return self.cloud.client(service, self.arn(role))
        return self.cloud.client(service, **{name.lower(): key for name, key in self.job_keys().items()})

    @contextmanager
    def without(self, role: str, action: str) -> Iterator[None]:
        """Remove an action from a role's policy, and put it back."""
        iam, name = self.client("iam"), self.role(role)
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        whole = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]

        def put(statements: list[dict[str, object]]) -> None:
            document = json.dumps({**whole, "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)

        kept = [
            {**statement, "Action": actions}
            for statement in whole["Statement"]
            if (actions := [each for each in as_list(statement["Action"]) if each != action])
        ]
        put(kept)
        try:
            yield
        finally:
            put(whole["Statement"])

    def invoke(self, function: str) -> str:
        answer = self.cloud.functions.invoke(FunctionName=function, Payload=b"{}")
        return str(answer["Payload"].read().decode())

    def logged(self, function: str) -> list[str]:
        """Every line in the log of a Lambda."""
        config = self.cloud.functions.get_function(FunctionName=function)["Configuration"]
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=config["LoggingConfig"]["LogGroup"])
        return [event["message"] for page in found for event in page["events"]]


def without_each_permission(iam: Any, role: str) -> Iterator[tuple[str, str]]:
    """Yield action and resource of each permission of a role's one policy, while the role lacks it."""
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    named = {"RoleName": role, "PolicyName": policy}
    whole = iam.get_role_policy(**named)["PolicyDocument"]
    parts = [
        {**statement, "Action": action, "Resource": resource}
        for statement in whole["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    for part in parts:
        others = [each for each in parts if each != part]
        iam.put_role_policy(**named, PolicyDocument=json.dumps({**whole, "Statement": others}))
        yield part["Action"], part["Resource"]
    iam.put_role_policy(**named, PolicyDocument=json.dumps(whole))
