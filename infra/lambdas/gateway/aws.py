"""Clients of AWS, created at little cost to a cold start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader
from botocore.session import Session

if TYPE_CHECKING:
    from botocore.config import Config

SERVICES = ["s3", "sagemaker", "sagemaker-runtime", "secretsmanager"]


class _KnownServices(Loader):
    """A loader that knows the services in use.

    botocore's own scans a folder for each of AWS's 400 services, twice, to check whether a name is known.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - the base's signature
        return SERVICES


def client(service: str, config: Config) -> Any:
    """Return a client of one of `SERVICES`."""
    # botocore's own session: importing boto3 adds a tenth to a cold start for features that are not used.
    session = Session()
    session.register_component("data_loader", _KnownServices())
    return session.create_client(service, config=config)
