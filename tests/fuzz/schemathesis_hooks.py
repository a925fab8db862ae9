"""Tells schemathesis what an image is: named in SCHEMATHESIS_HOOKS, it is read by its command."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.fuzz import images

_WHOLE = st.sampled_from(sorted(images.whole().values()))

for _media_type in ("image/png", "image/jpeg", "application/octet-stream"):
    schemathesis.openapi.media_type(_media_type, _WHOLE)
