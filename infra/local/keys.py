"""The KMS keys under which S3 objects lie: whoever reads or writes such an object must be allowed its key.

S3 itself asks KMS on AWS, in the caller's name:
docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html. ministack does not, and its
CloudFormation does not hand a bucket's default encryption over. Nothing is really encrypted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region
from ministack.services import s3
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Checks = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, object]], list[tuple[str, str]]]

_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def enforce() -> None:
    """Have ministack ask for the key with the object."""
    iam_actions.s3_additional_checks = _with_keys(iam_actions.s3_additional_checks)
    provisioners._S3_BUCKET_CONFIGURATIONS = (
        *provisioners._S3_BUCKET_CONFIGURATIONS,
        ("BucketEncryption", _encryption_xml, _put_encryption, s3._delete_bucket_encryption),
    )


def _with_keys(checks: _Checks) -> _Checks:
    def with_keys(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, object]
    ) -> list[tuple[str, str]]:
        found = checks(method, path, headers, body, query)
        bucket, _, key = path.lstrip("/").partition("/")
        if key and method == "PUT":
            to_be = headers.get(_KEY) or s3._bucket_default_sse_headers(bucket).get(_KEY)
            return [*found, *_check("kms:GenerateDataKey", to_be)]
        if key and method == "GET":
            held = s3._buckets.get(bucket, {}).get("objects", {}).get(key, {})
            return [*found, *_check("kms:Decrypt", held.get("preserved_headers", {}).get(_KEY))]
        return found

    return with_keys


def _check(action: str, key: str | None) -> list[tuple[str, str]]:
    if not key:
        return []
    return [
        (
            action,
            key if key.startswith("arn:") else f"arn:aws:kms:{get_region()}:{get_account_id()}:key/{key}",
        )
    ]


def _put_encryption(bucket: str, encryption: bytes) -> None:
    """Keep a default encryption under a key of ours; S3's own key does not exist here."""
    if b"<KMSMasterKeyID>" in encryption:
        s3._put_bucket_encryption(bucket, encryption)


def _encryption_xml(declared: Mapping[str, list[dict[str, dict[str, str]]]]) -> bytes:
    """Write a template's BucketEncryption as S3's own API takes it."""
    (rule,) = declared["ServerSideEncryptionConfiguration"]
    members = (f"<{name}>{value}</{name}>" for name, value in rule["ServerSideEncryptionByDefault"].items())
    default = f"<ApplyServerSideEncryptionByDefault>{''.join(members)}</ApplyServerSideEncryptionByDefault>"
    root = "ServerSideEncryptionConfiguration"
    return f"<{root}><Rule>{default}</Rule></{root}>".encode()
