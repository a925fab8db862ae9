"""Gives schemathesis images to send: its command imports the module that SCHEMATHESIS_HOOKS names."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.fuzz import images

_WHOLE = st.sampled_from(sorted(images.whole().values()))

for _media_type in ("image/png", "image/jpeg", "application/dicom", "application/octet-stream"):
    schemathesis.openapi.media_type(_media_type, _WHOLE)


@schemathesis.hook
def before_call(_context: object, case: schemathesis.Case[Any], **_: object) -> None:
    """Ask for the only frame of these images: no other is there, although its number is valid."""
    frame = str((case.query or {}).get("frame", ""))
    if frame.isdecimal() and int(frame):
        case.query["frame"] = 1
