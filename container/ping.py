"""`python3 -m container.ping` fails while the server is not up: the image's health check, without curl."""

from __future__ import annotations

import os
import sys
import urllib.request

if __name__ == "__main__":
    url = f"http://127.0.0.1:{os.environ.get('SAGEMAKER_BIND_TO_PORT', '8080')}/ping"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    try:
        direct.open(url, timeout=2).close()
    except (OSError, ValueError) as error:  # refused, timed out, any status but 2XX, an invalid port
        sys.exit(f"not up: {error}")
