"""AWS on a laptop: ministack in one process, with the SageMaker that it lacks.

An emulator for development and tests, not a server for production: it keeps everything in memory, enforces
IAM policies where it is asked to, listens on 127.0.0.1 only, and forgets all when it stops.

The pieces, each apart from the others:

- `laptop` starts and stops the emulator as a child process. `emulator` is that child; `guard` keeps its door.
- `sagemaker/` is the SageMaker: `service` holds models, configurations, endpoints; `launcher` runs servers.
  Its doors are `sagemaker.api`, `sagemaker.runtime` and `cloudformation`.
- `policies` and `keys` let roles do what their policies allow and no more, where that is asked for.
- `ecr`, `gateway` and `lambdas` mend or complete what ministack does for these three services.
- `declared` enters what ministack's services know and its CloudFormation does not; `recorded` accepts the
  resource types that are declared but not emulated.

All of it is entered in ministack's own tables, in `emulator`.
"""

from __future__ import annotations

from infra.local.address import ACCOUNT, DEFAULT_PORT, LocalAwsError, client_environment, gateway_url
from infra.local.laptop import Engine, LocalAws

__all__ = [
    "ACCOUNT",
    "DEFAULT_PORT",
    "Engine",
    "LocalAws",
    "LocalAwsError",
    "client_environment",
    "gateway_url",
]
