"""Where local AWS (`infra.emulator`) answers, and the environment variables that send a client there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

# Not "localhost", which may be ::1, where another server may have the same port.
HOST = "127.0.0.1"
DEFAULT_PORT = 4566
ACCOUNT = "000000000000"
REGION = "us-east-1"

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# A shell's proxy cannot reach these; the last stands for every host below it.
_UNPROXIED = ("localhost", HOST, ".localhost")


class LocalAwsError(Exception):
    """Local AWS cannot be started; the message says why and what to do."""


def endpoint_url(port: int) -> str:
    """URL that SDKs and the CDK CLI take as ``AWS_ENDPOINT_URL``."""
    return f"http://{HOST}:{port}"


def client_environment(
    base: Mapping[str, str] | None = None, *, port: int | None = None, region: str = REGION
) -> dict[str, str]:
    """Return the variables that send SDKs, the AWS CLI and the CDK CLI to local AWS.

    They suffice only where the environment holds no other variable of AWS: see `local_environment`.

    Parameters
    ----------
    base
        The environment that they will be added to, by default this process's own. Read for its proxy's
        exceptions, and for the port where `port` is left out.
    port
        Local AWS's port; by default that of ``AWS_ENDPOINT_URL`` where this names the local host, else 4566.
    """
    base = os.environ if base is None else base
    known = ",".join(base.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    unproxied = ",".join(dict.fromkeys(filter(None, [*known.split(","), *_UNPROXIED])))
    return {
        "AWS_ENDPOINT_URL": endpoint_url(port or _port_in_use(base)),
        "AWS_ACCESS_KEY_ID": ACCOUNT,  # ministack takes an access key id of twelve digits for the account
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # The user's own files could name a profile, a role to assume, FIPS or other endpoints.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": region,
        "NO_PROXY": unproxied,  # some clients read only one of the two spellings
        "no_proxy": unproxied,
    }


def local_environment(
    base: Mapping[str, str],
    *,
    port: int | None = None,
    region: str = REGION,
    keep_credentials: bool = False,
) -> dict[str, str]:
    """Return a copy of an environment in which every client reaches local AWS, whatever the shell had set.

    All variables that begin with ``AWS_`` are dropped, then those of `client_environment` are added: no
    profile, endpoint of one service, FIPS or dual-stack endpoint, certificate authority or role is left.

    With `keep_credentials` the access key and token of `base` stay: those of a role in local AWS.
    """
    kept = {name: value for name, value in base.items() if not name.startswith("AWS_")}
    added = client_environment(base, port=port, region=region)
    credentials = {name: base[name] for name in _CREDENTIALS if name in base} if keep_credentials else {}
    return kept | added | credentials


def gateway_url(api_id: str, stage: str, *, port: int | None = None) -> str:
    """URL of a REST API's stage, without a slash at the end; `port` as in `client_environment`.

    A stack's own outputs name amazonaws.com, and not every resolver knows ``<api-id>.execute-api.localhost``;
    this form works everywhere.
    """
    return f"{endpoint_url(port or _port_in_use(os.environ))}/restapis/{api_id}/{stage}/_user_request_"


def _port_in_use(environment: Mapping[str, str]) -> int:
    url = urlsplit(environment.get("AWS_ENDPOINT_URL", ""))
    return (url.port if url.hostname in ("localhost", HOST) else None) or DEFAULT_PORT
