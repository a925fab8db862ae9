"""Request ids with a short keyed check: an id that was never given is recognised without a database."""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import cached_property

from botocore.config import Config

from .aws import client

ID_FORM = re.compile("[A-Za-z0-9-]{1,64}")
CHECK_DIGITS = 12  # hexadecimal: of 2.8e14 guesses one is right
# Short, as predictions wait for it: once in the life of an instance, unless it fails.
KEY_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})


class RequestIds:
    """The check in request ids, whose key is a secret that is read when needed.

    Both methods raise botocore's `BotoCoreError` or `ClientError` while the key cannot be read.
    """

    def __init__(self, key_secret: str) -> None:
        self._key_secret = key_secret

    @cached_property
    def _key(self) -> bytes:
        secrets = client("secretsmanager", KEY_CONFIG)
        return str(secrets.get_secret_value(SecretId=self._key_secret)["SecretString"]).encode()

    def checked(self, plain: str) -> str:
        """Return an id with its check: at most 64 characters, as SageMaker's InferenceId."""
        digest = hmac.new(self._key, plain.encode(), hashlib.sha256).hexdigest()
        return f"{plain}-{digest[:CHECK_DIGITS]}"

    def given(self, request_id: str) -> bool:
        """Whether `checked` has made this id."""
        plain = request_id.rpartition("-")[0]
        return bool(ID_FORM.fullmatch(request_id)) and hmac.compare_digest(self.checked(plain), request_id)
