"""Local AWS: ministack, an emulator of AWS, in one process with the SageMaker that it lacks.

For development and tests, not for production: it keeps everything in memory, enforces IAM policies on request
only, and listens on 127.0.0.1 only. Clients find it by `infra.local_aws`.

- `process/` starts and stops the emulator as a child process (`local_aws`), and is that child (`server`).
- `sagemaker/` is the SageMaker: `service` keeps models, configurations and endpoints, `launcher` runs their
  servers; requests arrive through `api` and, from CloudFormation, `stack_resources`.
- `ministack_patches/` changes and completes what ministack does for each other service.
"""

from __future__ import annotations

from infra.emulator.process.local_aws import Engine, LocalAws

__all__ = ["Engine", "LocalAws"]
