"""Lambda: an update lets the invocations that have begun finish, and logs need the role's permission.

ministack kills a function's workers as soon as its code or configuration changes, so that their callers get
an error. AWS lets them finish.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from infra.emulator.ministack_patches.cloudwatch import record_embedded
from infra.emulator.ministack_patches.iam import role_allows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_INVOCATION_S = 900  # docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_POLL_S = 0.05
_LOG_ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")


def patch() -> None:
    """Have ministack end a worker only when it is idle."""
    kill = lambda_runtime.kill_workers

    def kill_when_idle(workers: Sequence[lambda_runtime.Worker]) -> None:
        kill([worker for worker in workers if not worker.in_use])
        busy = [worker for worker in workers if worker.in_use]
        if busy:
            threading.Thread(target=wait_and_kill, args=(busy,), daemon=True).start()

    def wait_and_kill(workers: Sequence[lambda_runtime.Worker]) -> None:
        deadline = time.monotonic() + _LONGEST_INVOCATION_S
        while any(worker.in_use for worker in workers) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        kill(workers)

    lambda_runtime.kill_workers = kill_when_idle


def enforce_log_permissions() -> None:
    """Write a function's log only where its role may, and publish the metrics that its lines embed.

    Otherwise the function runs without a log, as on AWS.
    """
    write = lambda_svc._emit_lambda_logs

    def write_where_allowed(
        function: Mapping[str, object], request_id: str, text: str, *rest: object, **more: object
    ) -> None:
        config = function.get("config") or function
        if _may_log(config):  # type: ignore[arg-type]
            write(function, request_id, text, *rest, **more)
            for line in (text or "").splitlines():
                record_embedded(line)

    lambda_svc._emit_lambda_logs = write_where_allowed


def _may_log(config: Mapping[str, str]) -> bool:
    name = config["FunctionName"]
    _, _, _, region, account, *_ = config["FunctionArn"].split(":")
    logging: Mapping[str, str] = config.get("LoggingConfig") or {}  # type: ignore[assignment]
    group = logging.get("LogGroup") or f"/aws/lambda/{name}"
    stream = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:any"
    return all(role_allows(config["Role"], action, stream, session=name) for action in _LOG_ACTIONS)
