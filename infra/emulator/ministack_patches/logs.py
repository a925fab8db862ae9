"""CloudWatch Logs: where the container of an endpoint or a transform job logs."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from ministack.core.responses import request_scope
from ministack.services import cloudwatch_logs

from infra.emulator.ministack_patches.app import region
from infra.emulator.ministack_patches.iam import role_allows

if TYPE_CHECKING:
    from collections.abc import Callable

_CREATE_GROUP = "logs:CreateLogGroup"
_ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")


def writer(group: str, stream: str, *, role: str, creates_group: bool = False) -> Callable[[str], None]:
    """Return what writes a line of a container's output to a new stream of a log group.

    Nothing is written where the group does not exist or the execution role may not, as on AWS: the project's
    roles may create no group but that of transform jobs.
    """
    account = role.split(":")[4]
    stream = f"{stream}/{uuid.uuid4().hex[:17]}"
    names = {"logGroupName": group, "logStreamName": stream}
    arn = f"arn:aws:logs:{region()}:{account}:log-group:{group}:log-stream:{stream}"

    def write(line: str) -> None:
        if not all(role_allows(role, action, arn) for action in _ACTIONS):
            return
        with request_scope(account, region()):
            if creates_group and role_allows(role, _CREATE_GROUP, arn):
                cloudwatch_logs._create_log_group({"logGroupName": group})
            cloudwatch_logs._create_log_stream(names)  # refused, without effect, from the second line on
            events = [{"timestamp": time.time_ns() // 1_000_000, "message": line}]
            cloudwatch_logs._put_log_events({**names, "logEvents": events})

    return write
