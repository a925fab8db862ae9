"""The HTTP contract: an OpenAPI document of what the code does, and a client of that document.

`document` says it as a whole, of `operations` and `schemas`; `client` writes the Python that calls it, over
`transport`. Both are committed as they come out: `infra/gateway/openapi.json` and `scripts/client.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GATEWAY = ROOT / "infra" / "gateway"

# The Lambda's files import each other by their plain names; last, so that they shadow nothing.
if str(GATEWAY) not in sys.path:
    sys.path.append(str(GATEWAY))
