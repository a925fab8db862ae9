"""Secrets under a KMS key: reading one needs permission for its key as well.

On AWS, Secrets Manager itself calls KMS on the caller's behalf:
docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html. Nothing is encrypted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ministack import app
from ministack.core.responses import error_response_json
from ministack.services import secretsmanager

from infra.emulator.ministack_patches.iam import denial
from infra.emulator.validation.requests import content

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTRACT = """
app.SERVICE_HANDLERS: dict
core.responses.error_response_json(code, message, status, extra, message_key, content_type)
services.secretsmanager._resolve(secret_id, use_arn_scope)
"""


def enforce_key_permissions() -> None:
    """Refuse the value of a secret whose key the caller may not use to decrypt."""
    answer = app.SERVICE_HANDLERS["secretsmanager"]

    async def checked(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, object]
    ) -> object:
        if headers.get("x-amz-target", "").endswith(".GetSecretValue"):
            _, secret = secretsmanager._resolve(content(body).get("SecretId"))
            key = (secret or {}).get("KmsKeyId")
            if key and (reason := denial("kms:Decrypt", key, headers)):
                return error_response_json("AccessDeniedException", reason, 400)
        return await answer(method, path, headers, body, query)

    app.SERVICE_HANDLERS["secretsmanager"] = checked
