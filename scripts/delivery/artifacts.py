"""Model artifacts by their hash: a folder on this machine, and the environment's bucket."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path

from botocore.exceptions import ClientError

from infra.release import artifact_key
from scripts.delivery.aws import session
from scripts.delivery.console import DeliveryError, say

STORE = Path(__file__).resolve().parents[2] / ".local" / "artifacts"


def stored(sha256: str) -> Path:
    """Return where this machine keeps the artifact with this hash, whether it is there or not."""
    return STORE / sha256 / "model.tar.gz"


def keep(path: Path, *, sha256: str) -> Path:
    """Copy a finished artifact into this machine's store; one that is there whole is left as it is."""
    target = stored(sha256)
    if not _is_whole(target, sha256=sha256):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        shutil.copyfile(path, partial)
        partial.replace(target)
    return target


def ensure_uploaded(bucket: str, *, sha256: str) -> None:
    """See that the bucket holds the artifact with this hash, uploading it from the store if it does not.

    Raises
    ------
    DeliveryError
        If the bucket holds other bytes under that key, or neither place holds the artifact.
    """
    key = artifact_key(sha256)
    found = _uploaded_sha256(bucket, key)
    if found == sha256:
        return
    if found is not None:
        raise DeliveryError(
            f"s3://{bucket}/{key} does not hold what its name says (its SHA-256 is {found}). "
            "Keys are never overwritten: find out who wrote it, remove that version, and deploy again."
        )
    source = stored(sha256)
    if not _is_whole(source, sha256=sha256):
        raise DeliveryError(
            f"The release names the artifact {sha256}, which is neither in s3://{bucket} nor in {STORE}. "
            "Promote the run again with `scripts/promote`, or deploy from the machine that promoted it."
        )
    try:
        session().client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=source.read_bytes(),
            ContentType="application/gzip",
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
        )
    except ClientError as error:
        raise DeliveryError(f"s3://{bucket}/{key} cannot be written: {error}") from error
    say(f"  uploaded s3://{bucket}/{key} ({source.stat().st_size / 1e6:.1f} MB)")


def _is_whole(path: Path, *, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _uploaded_sha256(bucket: str, key: str) -> str | None:
    """SHA-256 of the object as S3 computed it on upload, or of its bytes where S3 kept none."""
    s3 = session().client("s3")
    try:
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
            return None
        raise DeliveryError(f"s3://{bucket}/{key} cannot be read: {error}") from error
    if computed := head.get("ChecksumSHA256"):
        return base64.b64decode(computed).hex()
    return hashlib.sha256(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).hexdigest()
