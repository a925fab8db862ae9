"""`python3 -m container.ping` fails while the server is not up: the image's health check, with no curl."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 2

# Not by way of a proxy that the environment may name.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

if __name__ == "__main__":
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    try:
        _direct.open(f"http://127.0.0.1:{port}/ping", timeout=TIMEOUT_S).close()
    except (OSError, ValueError) as error:  # refused, timed out, any status but 2XX, a port that is none
        sys.exit(f"not up: {error}")
