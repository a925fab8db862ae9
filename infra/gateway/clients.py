"""Clients of SageMaker, made as cheaply as a cold start wants them.

Of botocore, which is what boto3 makes its clients of: importing boto3 as well costs a tenth of a cold start,
for resources and transfers that are not used here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from botocore.loaders import Loader
from botocore.session import Session

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

RUNTIME, CONTROL = "sagemaker-runtime", "sagemaker"


class _Loader(Loader):
    """Knows the two services that it is asked for.

    botocore's own reads a folder for each of AWS's 400 services, twice, only to say whether a name is known.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - the base's signature
        return [CONTROL, RUNTIME]


def runtime(config: Config) -> SageMakerRuntimeClient:
    """Return a client that invokes endpoints."""
    return cast("SageMakerRuntimeClient", _session().create_client(RUNTIME, config=config))


def control(config: Config) -> SageMakerClient:
    """Return a client that describes endpoints."""
    return cast("SageMakerClient", _session().create_client(CONTROL, config=config))


def _session() -> Session:
    session = Session()
    session.register_component("data_loader", _Loader())
    return session
