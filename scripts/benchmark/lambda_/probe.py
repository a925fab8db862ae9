"""One handler in a fresh process, as Lambda runs it: `python -B probe.py FOLDER EVENT REQUESTS`.

Imports the handler that lies in FOLDER, hands it the event once and then as often as it is told, and prints
as JSON what that took. Standard library only: it runs in the peers' environment.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

    Handle = Callable[[dict[str, Any], object], dict[str, Any]]

TO_MS = 1000.0


class Request(TypedDict):
    """One request: all of the handler, of that the call of the endpoint, and the processor time of both."""

    all_ms: float
    call_ms: float
    all_cpu_ms: float
    call_cpu_ms: float


class Said(TypedDict):
    """What is printed; `peak_mb` is the largest memory at the end."""

    import_ms: float
    import_cpu_ms: float
    first: Request
    warm: list[Request]
    peak_mb: float
    status: int
    body: str


class Context:
    """What Lambda tells of an invocation."""

    function_name = "tumor-detector"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:tumor-detector"
    aws_request_id = "3f2b8a52-6d1c-4a57-9a0e-8f1f6f0b7c11"


class Calls:
    """Measures every call that any client of boto3 makes from now on.

    On the method that all of a client's operations go through: its events (before-call, after-call) leave out
    the checking of the arguments, which is part of the call.
    """

    def __init__(self) -> None:
        from botocore.client import BaseClient  # noqa: PLC0415 - the handler has imported it by now

        self.took_s = self.cpu_s = 0.0
        original = BaseClient._make_api_call  # type: ignore[attr-defined]

        def measured(client: BaseClient, operation: str, parameters: dict[str, Any]) -> object:
            began, began_cpu = time.perf_counter(), time.process_time()
            try:
                return original(client, operation, parameters)
            finally:
                self.took_s += time.perf_counter() - began
                self.cpu_s += time.process_time() - began_cpu

        BaseClient._make_api_call = measured  # type: ignore[attr-defined]


def main() -> None:
    """Import, ask once, ask often."""
    folder, event, requests = sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8"), int(sys.argv[3])
    sys.path.insert(0, folder)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        began, began_cpu = time.perf_counter(), time.process_time()
        handle: Handle = importlib.import_module("handler").handle
        import_ms = TO_MS * (time.perf_counter() - began)
        import_cpu_ms = TO_MS * (time.process_time() - began_cpu)
        calls = Calls()
        first, answer = ask(handle, event, calls)
        warm = [ask(handle, event, calls)[0] for _ in range(requests)]
    said: Said = {
        "import_ms": import_ms,
        "import_cpu_ms": import_cpu_ms,
        "first": first,
        "warm": warm,
        "peak_mb": peak_mb(),
        "status": answer["statusCode"],
        "body": answer["body"],
    }
    print(json.dumps(said))


def peak_mb() -> float:
    """Return the largest memory of this process so far; getrusage's would be at least its parent's."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def ask(handle: Handle, event: str, calls: Calls) -> tuple[Request, dict[str, Any]]:
    """Hand over one event, read from its text as Lambda's runtime does, which is not counted."""
    given = json.loads(event)
    calls.took_s = calls.cpu_s = 0.0
    began, began_cpu = time.perf_counter(), time.process_time()
    answer = handle(given, Context())
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    took: Request = {
        "all_ms": TO_MS * took_s,
        "call_ms": TO_MS * calls.took_s,
        "all_cpu_ms": TO_MS * cpu_s,
        "call_cpu_ms": TO_MS * calls.cpu_s,
    }
    return took, answer


if __name__ == "__main__":
    main()
