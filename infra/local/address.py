"""Where the laptop's AWS answers, and what a client must know to reach it."""

from __future__ import annotations

import os
import socket

DEFAULT_PORT = 4566
ACCOUNT = "000000000000"
REGION = "us-east-1"
_HIGHEST_PORT = 65535
# A shell's proxy could not reach these; the last is every host below it.
_UNPROXIED = ("localhost", "127.0.0.1", ".localhost")


class LocalAwsError(Exception):
    """The laptop's AWS cannot be started; the message says why and what to do."""


def endpoint_url(port: int) -> str:
    """URL that SDKs and the CDK CLI take as ``AWS_ENDPOINT_URL``."""
    return f"http://localhost:{port}"


def client_environment(
    *, port: int | None = None, account: str = ACCOUNT, region: str | None = None
) -> dict[str, str]:
    """Environment variables that point SDKs, the AWS CLI and the CDK CLI at a running laptop's AWS.

    Parameters
    ----------
    port
        Of the laptop's AWS; by default the one that ``AWS_ENDPOINT_URL`` already names, else 4566.
    account
        Twelve digits. ministack takes an access key id of twelve digits as the account.
    region
        By default the one that ``AWS_REGION`` already names, else us-east-1.
    """
    known = ",".join(os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    unproxied = ",".join(dict.fromkeys(filter(None, [*known.split(","), *_UNPROXIED])))
    url = endpoint_url(port) if port else os.environ.get("AWS_ENDPOINT_URL", endpoint_url(DEFAULT_PORT))
    region = region or os.environ.get("AWS_REGION", REGION)
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "laptop",
        "AWS_SESSION_TOKEN": "",  # one of a real account would otherwise travel with these keys
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "CDK_DEFAULT_ACCOUNT": account,
        "CDK_DEFAULT_REGION": region,
        "NO_PROXY": unproxied,  # either spelling is all that some clients read
        "no_proxy": unproxied,
    }


def gateway_url(api_id: str, stage: str, *, port: int | None = None) -> str:
    """URL of a REST API's stage, without a slash at the end.

    A stack's own outputs name amazonaws.com, and not every resolver knows ``<api-id>.execute-api.localhost``;
    this form works everywhere. `port` as in `client_environment`.
    """
    return f"{client_environment(port=port)['AWS_ENDPOINT_URL']}/restapis/{api_id}/{stage}/_user_request_"


def claim(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1; 0 takes any free one.

    Raises
    ------
    LocalAwsError
        If it is taken, or no port at all.
    """
    if not 0 <= port <= _HIGHEST_PORT:
        raise LocalAwsError(f"Port {port} cannot be used: choose one from 1 to {_HIGHEST_PORT} with --port.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise LocalAwsError(
            f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}). "
            "Stop what uses it, or choose another with --port."
        ) from error
    return listener
