"""Gives schemathesis images to send: its command imports the module that SCHEMATHESIS_HOOKS names."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.fuzz import images

_WHOLE = st.sampled_from(sorted(images.whole().values()))

for _media_type in ("image/png", "image/jpeg", "application/dicom", "application/octet-stream"):
    schemathesis.openapi.media_type(_media_type, _WHOLE)
