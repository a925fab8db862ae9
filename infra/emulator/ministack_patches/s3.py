"""S3 objects and secrets under a KMS key: reading or writing one needs permission for its key as well.

On AWS, S3 and Secrets Manager call KMS on the caller's behalf:
docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html. ministack does not, and its
CloudFormation ignores a bucket's default encryption. Nothing is encrypted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ministack import app
from ministack.core import iam_actions
from ministack.core.responses import error_response_json
from ministack.services import s3, secretsmanager
from ministack.services.cloudformation import provisioners

from infra.emulator.ministack_patches.app import account_id, region
from infra.emulator.ministack_patches.iam import denial
from infra.emulator.validation.requests import content

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def enforce_key_permissions() -> None:
    """Have ministack check the permission for the key beside that for the object or the secret."""
    known_checks = iam_actions.s3_additional_checks

    def checks(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, object]
    ) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = known_checks(method, path, headers, body, query)
        bucket, _, name = path.lstrip("/").partition("/")
        if name and method == "PUT":
            key = headers.get(_KEY) or s3._bucket_default_sse_headers(bucket).get(_KEY)
            return [*found, *_permission("kms:GenerateDataKey", key)]
        if name and method == "GET":
            stored = s3._buckets.get(bucket, {}).get("objects", {}).get(name, {})
            return [*found, *_permission("kms:Decrypt", stored.get("preserved_headers", {}).get(_KEY))]
        return found

    answer = app.SERVICE_HANDLERS["secretsmanager"]

    async def secrets(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, object]
    ) -> object:
        if headers.get("x-amz-target", "").endswith(".GetSecretValue"):
            _, secret = secretsmanager._resolve(content(body).get("SecretId"))
            key = (secret or {}).get("KmsKeyId")
            if key and (reason := denial("kms:Decrypt", key, headers)):
                return error_response_json("AccessDeniedException", reason, 400)
        return await answer(method, path, headers, body, query)

    app.SERVICE_HANDLERS["secretsmanager"] = secrets
    iam_actions.s3_additional_checks = checks
    provisioners._S3_BUCKET_CONFIGURATIONS = (
        *provisioners._S3_BUCKET_CONFIGURATIONS,
        ("BucketEncryption", _encryption_xml, _put_encryption, s3._delete_bucket_encryption),
    )


def _permission(action: str, key: str | None) -> list[tuple[str, str]]:
    if not key:
        return []
    return [(action, key if key.startswith("arn:") else f"arn:aws:kms:{region()}:{account_id()}:key/{key}")]


def _put_encryption(bucket: str, encryption: bytes) -> None:
    """Keep a default encryption under a customer's key; S3's own key does not exist here."""
    if b"<KMSMasterKeyID>" in encryption:
        s3._put_bucket_encryption(bucket, encryption)


def _encryption_xml(declared: Mapping[str, list[dict[str, dict[str, str]]]]) -> bytes:
    """Convert a template's BucketEncryption to the XML of S3's API."""
    (rule,) = declared["ServerSideEncryptionConfiguration"]
    members = (f"<{name}>{value}</{name}>" for name, value in rule["ServerSideEncryptionByDefault"].items())
    default = f"<ApplyServerSideEncryptionByDefault>{''.join(members)}</ApplyServerSideEncryptionByDefault>"
    root = "ServerSideEncryptionConfiguration"
    return f"<{root}><Rule>{default}</Rule></{root}>".encode()
