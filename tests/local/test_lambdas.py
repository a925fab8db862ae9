"""An update of a Lambda lets the invocations that have begun come to their end."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.local.cloud import Cloud

SLOW = "import time\ndef handle(event, context):\n    time.sleep({seconds})\n    return '{version}'\n"


def bundle(*, version: str, seconds: float) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("handler.py", SLOW.format(seconds=seconds, version=version))
    return buffer.getvalue()


def test_an_update_does_not_fail_who_is_being_served(cloud: Cloud) -> None:
    # Given a function that is busy for a while
    functions, role = cloud.functions, "arn:aws:iam::000000000000:role/any"
    functions.create_function(
        FunctionName="slow", Runtime="python3.11", Role=role, Handler="handler.handle", Timeout=30,
        Code={"ZipFile": bundle(version="old", seconds=2)},
    )  # fmt: skip
    answers: list[str] = []

    def invoke() -> None:
        answers.append(json.load(functions.invoke(FunctionName="slow")["Payload"]))

    caller = threading.Thread(target=invoke)
    caller.start()
    time.sleep(1)
    # When its code is updated meanwhile
    functions.update_function_code(FunctionName="slow", ZipFile=bundle(version="new", seconds=0))
    # Then the invocation ends as it began, and the next one runs the new code
    caller.join()
    invoke()
    assert answers == ["old", "new"]
